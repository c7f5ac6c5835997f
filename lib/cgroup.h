/* SPDX-License-Identifier: MIT */
/* Memory that the limits of the process's cgroup and its parents leave. Version 2 only. */
#ifndef LIB_CGROUP_H
#define LIB_CGROUP_H

#include <stddef.h>
#include <stdint.h>

/*
 * Returns the bytes that are left, or UINT64_MAX if there is no limit or it cannot be read. If they
 * are fewer than @wanted, the page cache counts as left, too. @where gets the directory of the
 * cgroup that leaves the least.
 */
uint64_t cgroup_left(uint64_t wanted, char *where, size_t size);

#endif
