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
 * Gets the function that a program uses if it opens this path for writing: a node of uio or of
 * VFIO's devices, or the function's config space or registers in sysfs. Registers count only if no
 * uio driver has the function: secondary processes of DPDK open those, too.
 */
bool function_behind(const char *path, struct flatiommu_function *function);
/* Returns the number of the group whose node this path is, or NULL. */
const char *group_behind(const char *path);
/* Gets the first function of a group. @node is /dev/flatiommu. */
bool function_of_group(const char *number, int node, struct flatiommu_function *function);
/* Calls @each with every name in a directory, until it returns false. */
void each_name(const char *directory, bool (*each)(const char *name));
/* The same with the address of every function. */
void functions_each(bool (*each)(const char *address));

#endif
