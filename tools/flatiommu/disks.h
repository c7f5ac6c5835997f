/* SPDX-License-Identifier: MIT */
/* Disks, and the PCI functions that they belong to. */
#ifndef DISKS_H
#define DISKS_H

#include "sysfs.h"

/* The controllers, such as nvme0, that lead to a multipath NVMe disk; none for another disk. */
void disk_controllers(struct names *controllers, const char *disk);

/* Disks and partitions that belong to the function. */
int disks_of(struct names *disks, const char *address);

#endif
