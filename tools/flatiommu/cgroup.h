/* SPDX-License-Identifier: MIT */
/* How much of a resource the limits of a process's cgroup, and of its parents, leave. */
#ifndef CGROUP_H
#define CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct cgroup - the cgroup of a process for one controller
 * @dir:	its directory
 * @top:	length of the hierarchy's mount point in @dir
 * @v1:		the hierarchy has version 1
 * @huge:	huge pages count as memory, too
 */
struct cgroup {
	char dir[PATH_MAX];
	size_t top;
	bool v1, huge;
};

/* @pid is a number or self. Returns false if no cgroup can be seen. */
bool cgroup_find(struct cgroup *cgroup, const char *pid, const char *controller);

/**
 * cgroup_left() - the least that any cgroup leaves the process, or ~0ULL if none has a limit
 * @limit:	name of the file with the limit
 * @use:	name of the file with the use
 * @slack:	a key of memory.stat for memory that the kernel can reclaim, or NULL
 * @where:	gets the path of the file with that limit
 */
unsigned long long cgroup_left(const struct cgroup *cgroup, const char *limit, const char *use,
			       const char *slack, char *where, size_t size);

#endif
