/* SPDX-License-Identifier: MIT */
/* Disks, and the PCI functions that they belong to. */
#ifndef DISKS_H
#define DISKS_H

#include "sysfs.h"

/* Finds the controllers, such as nvme0, of a multipath NVMe disk. Other disks have none. */
void disk_controllers(struct names *controllers, const char *disk);

/* Finds the disks and partitions that belong to the function. */
int disks_of(struct names *disks, const char *address);

#endif
