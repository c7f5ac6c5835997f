/* SPDX-License-Identifier: MIT */
/*
 * A sysfs that the program mounts shows the groups to the programs that it starts, also to those that
 * this library is not loaded into: in the mount namespace of flatiommu run they are covered there, too.
 */
#ifndef PRELOAD_COVER_H
#define PRELOAD_COVER_H

/* Something was mounted at @point, which is relative to @dir as openat() has it. */
void cover_groups(int dir, const char *point);

#endif
