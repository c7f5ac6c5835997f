/* SPDX-License-Identifier: MIT */
/*
 * Bus addresses from /dev/flatiommu, on a machine without an IOMMU (linux/flatiommu.h).
 */
#ifndef EXAMPLE_FLAT_H
#define EXAMPLE_FLAT_H

#include <stddef.h>
#include <stdint.h>

/* Declares that this program looks the function's addresses up. Returns a file or -errno. */
int flat_open(const char *bdf);

/*
 * The bus address of what is mapped at @iova; 0 or -errno, -ERANGE when it is not contiguous on the
 * bus. Good until it is unmapped.
 */
int flat_bus_address(int flat, const char *bdf, uint64_t iova, size_t size, uint64_t *bus);

#endif
