/* SPDX-License-Identifier: MIT */
/* PCI functions: which ones there are for programs, and which one a path leads to. */
#ifndef PRELOAD_FUNCTIONS_H
#define PRELOAD_FUNCTIONS_H

#include <linux/flatiommu.h>
#include <stdbool.h>

/* The address, such as 0000:00:06.0, as the kernel takes it. */
bool function_of(const char *text, struct flatiommu_function *function);
/* Is a uio driver bound to it? */
bool function_is_on_uio(const char *address);
/*
 * The function that a program uses who opens this for writing: a file of sysfs that is its
 * configuration or registers, a node of uio or VFIO. @node is /dev/flatiommu, or -1.
 */
bool function_behind(const char *path, int node, struct flatiommu_function *function);
/* Calls @each with the address of every function that there is until it returns false. */
void functions_each(bool (*each)(const char *address));

#endif
