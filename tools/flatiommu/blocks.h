/* SPDX-License-Identifier: MIT */
/*
 * Disks of a function, and what is made of them, to any height: partitions, dm, MD, bcache, loop,
 * zram.
 */
#ifndef BLOCKS_H
#define BLOCKS_H

#include "layers.h"
#include "mounted.h"

/* If the kernel does not name the holder, it is found by its backing file or device. */
int block_layers(struct layers *layers, const char *address, const struct mounts *mounts);

/* The command that takes a device apart that is made of others, or "". */
void block_cure(char *cure, size_t size, const char *name);

#endif
