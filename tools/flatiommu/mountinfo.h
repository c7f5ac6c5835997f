/* SPDX-License-Identifier: MIT */
/* Mounts as a process sees them: /proc/PID/mountinfo. */
#ifndef MOUNTINFO_H
#define MOUNTINFO_H

#include <stdbool.h>

/**
 * struct mountinfo - a line of mountinfo
 * @number:	device number of the file system, MAJOR:MINOR
 * @root:	the directory of the file system that is mounted
 * @point:	the mount point
 * @type:	type of the file system
 * @source:	the mounted device, or another text
 * @options:	options of the file system, separated by commas
 */
struct mountinfo {
	char *number, *root, *point, *type, *source, *options;
};

/* Parses the next line of @text, which it changes. Returns false after the last line. */
bool mountinfo_next(char **text, struct mountinfo *m);

/* Returns the value of an option NAME=VALUE, which a comma or NUL ends, or NULL. */
const char *mountinfo_option(const struct mountinfo *m, const char *name);

#endif
