/* SPDX-License-Identifier: MIT */
/* Hides IOMMU groups from a program. */
#ifndef HIDE_H
#define HIDE_H

/*
 * Mounts an empty directory over the groups of each sysfs in this mount namespace: of /sys, and of
 * those in root directories of chroots. The namespace must be this process's own. Returns 0 or
 * -errno. *@where is the place that was tried last, and stays valid until the next call.
 */
int hide_groups(const char **where);

#endif
