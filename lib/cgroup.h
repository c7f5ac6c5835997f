/* SPDX-License-Identifier: MIT */
/* How much memory the process's cgroup, and those above it, leave it: cgroups of version 2 only. */
#ifndef LIB_CGROUP_H
#define LIB_CGROUP_H

#include <stddef.h>
#include <stdint.h>

/*
 * Returns the bytes, or UINT64_MAX if there is no limit or it cannot be seen. If they are fewer
 * than @wanted, memory of files counts as left, too. @where gets the directory of the cgroup that
 * leaves the least.
 */
uint64_t cgroup_left(uint64_t wanted, char *where, size_t size);

#endif
