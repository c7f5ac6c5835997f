/* SPDX-License-Identifier: MIT */
/*
 * DPDK and SPDK assume an IOMMU if there is any IOMMU group. So the program sees an empty directory
 * of groups. It still finds a function's group by the function's link.
 */
#ifndef PRELOAD_GROUPS_H
#define PRELOAD_GROUPS_H

/* Returns the path to use instead of @path: mostly @path itself. */
const char *groups_path(const char *path);

#endif
