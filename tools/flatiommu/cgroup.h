/* SPDX-License-Identifier: MIT */
/* How much of a resource the cgroups of a process leave it: its own and those above. */
#ifndef CGROUP_H
#define CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct cgroup - where a process is, for one controller
 * @dir:	its directory
 * @top:	how much of that is the hierarchy's mount point
 * @v1:		the hierarchy is of the first version
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
 * cgroup_left() - the least that any of them leaves, or ~0ULL where none has a limit
 * @limit:	the file that has the limit; the format of its path is the controller's
 * @use:	the file that has what is used
 * @slack:	a key of memory.stat whose memory the kernel takes back when it is wanted, or NULL
 * @where:	set to the path of @limit that says it
 */
unsigned long long cgroup_left(const struct cgroup *cgroup, const char *limit, const char *use,
			       const char *slack, char *where, size_t size);

#endif
