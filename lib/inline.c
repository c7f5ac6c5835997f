// SPDX-License-Identifier: MIT
/*
 * Exports the inline functions of the headers under the same names, for languages that cannot
 * include C headers. Their declarations are those of the headers, with FLATIOMMU_INLINE defined to
 * nothing.
 */
#define FLATIOMMU_INLINE __attribute__((visibility("default")))
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#include <flatiommu.h>
