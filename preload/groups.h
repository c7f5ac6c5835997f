/* SPDX-License-Identifier: MIT */
/*
 * DPDK and SPDK take the presence of any IOMMU group for the presence of an IOMMU. For the program
 * the directory of all groups is empty. Its way to one, through the function's link, stays.
 */
#ifndef PRELOAD_GROUPS_H
#define PRELOAD_GROUPS_H

/* The path that is to be used in place of this one: mostly itself. */
const char *groups_path(const char *path);

#endif
