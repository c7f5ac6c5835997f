/* SPDX-License-Identifier: MIT */
/*
 * The environment variable by which programs, and the command, know that flatiommu run has started a
 * program: the mount namespace that run has left, as /proc/self/ns/mnt has it, if it hides the groups by
 * a namespace, and RUN_LIBRARY otherwise.
 */
#ifndef PRELOAD_VARIABLE_H
#define PRELOAD_VARIABLE_H

#define RUN_VARIABLE "FLATIOMMU_RUN"
#define RUN_LIBRARY "library"

#endif
