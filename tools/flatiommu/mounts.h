/* SPDX-License-Identifier: MIT */
/* Mounts as a process sees them: /proc/PID/mountinfo. */
#ifndef MOUNTS_H
#define MOUNTS_H

#include <stdbool.h>

/**
 * struct mount - a line of mountinfo
 * @root:	the directory of the file system that is mounted
 * @point:	the mount point
 * @type:	type of the file system
 * @options:	options of the file system, separated by commas
 */
struct mount {
	char *root, *point, *type, *options;
};

/* Parses the next line of @text, which it changes. Returns false after the last line. */
bool mount_next(char **text, struct mount *mount);

/* Returns the value of an option NAME=VALUE, which a comma or NUL ends, or NULL. */
const char *mount_option(const struct mount *mount, const char *name);

#endif
