/* SPDX-License-Identifier: MIT */
/* What is mounted where, as a process sees it: /proc/PID/mountinfo. */
#ifndef MOUNTS_H
#define MOUNTS_H

#include <stdbool.h>

/**
 * struct mount - a line of it
 * @root:	what of the file system is mounted
 * @point:	where
 * @type:	of the file system
 * @options:	of the file system, separated by commas
 */
struct mount {
	char *root, *point, *type, *options;
};

/* Takes the next line off @text, which it writes to, and returns false behind the last one. */
bool mount_next(char **text, struct mount *mount);

/* The value of an option NAME=VALUE, up to the next comma or the end; NULL without it. */
const char *mount_option(const struct mount *mount, const char *name);

#endif
