/* SPDX-License-Identifier: MIT */
/*
 * flatiommu run sets this environment variable for the program that it starts. If run hides the
 * groups by a mount namespace, the value is the one that it has left, as in /proc/self/ns/mnt,
 * otherwise RUN_LIBRARY.
 */
#ifndef PRELOAD_VARIABLE_H
#define PRELOAD_VARIABLE_H

#define RUN_VARIABLE "FLATIOMMU_RUN"
#define RUN_LIBRARY "library"

#endif
