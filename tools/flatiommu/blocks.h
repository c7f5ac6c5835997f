/* SPDX-License-Identifier: MIT */
/*
 * Disks of a function, and all devices above them: partitions, dm, MD, bcache, loop, zram.
 */
#ifndef BLOCKS_H
#define BLOCKS_H

#include "layers.h"
#include "mounted.h"

/*
 * Adds the disks and the devices above them. A device that the kernel does not list among the
 * holders is found by its backing file or device.
 */
int block_layers(struct layers *layers, const char *address, const struct mounts *mounts);

/* Writes the command that stops a device that is made of others, or "". */
void block_cure(char *cure, size_t size, const char *name);

#endif
