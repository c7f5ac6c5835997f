/* SPDX-License-Identifier: MIT */
/* IOMMU groups that a program is not to see. */
#ifndef HIDE_H
#define HIDE_H

/*
 * Mounts an empty directory over the groups of each sysfs that this mount namespace has, which is
 * to be this process's own: of /sys, and of those in the roots of chroots. 0, or -errno with the
 * place in *@where, which lasts until the next call.
 */
int hide_groups(const char **where);

#endif
