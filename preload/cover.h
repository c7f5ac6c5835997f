/* SPDX-License-Identifier: MIT */
/*
 * A program may mount another sysfs. It shows the groups, also to programs without this library.
 * In the mount namespace of flatiommu run, the library covers the groups there, too.
 */
#ifndef PRELOAD_COVER_H
#define PRELOAD_COVER_H

/* Something was mounted at @point, which is relative to @dir as in openat(). */
void cover_groups(int dir, const char *point);

#endif
