/* SPDX-License-Identifier: MIT */
/* PCI functions that programs can have, and the function that a path belongs to. */
#ifndef PRELOAD_FUNCTIONS_H
#define PRELOAD_FUNCTIONS_H

#include <linux/flatiommu.h>
#include <stdbool.h>

/* Parses an address such as 0000:00:06.0. */
bool function_of(const char *text, struct flatiommu_function *function);
/* Is a uio driver bound to it? */
bool function_is_on_uio(const char *address);
/*
 * Gets the function that a program uses if it opens this path for writing: a file of sysfs with the
 * function's config space or registers, or a node of uio or VFIO. @node is /dev/flatiommu, or -1.
 */
bool function_behind(const char *path, int node, struct flatiommu_function *function);
/* Calls @each with the address of every function, until it returns false. */
void functions_each(bool (*each)(const char *address));

#endif
