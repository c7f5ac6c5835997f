// SPDX-License-Identifier: MIT
/*
 * What is inline in the headers, as functions of the library, under the same names: for languages
 * that do not compile C. Their declarations are those of the headers with FLATIOMMU_INLINE defined
 * to nothing.
 */
#define FLATIOMMU_INLINE __attribute__((visibility("default")))
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#include <flatiommu.h>
