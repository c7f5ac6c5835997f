/* SPDX-License-Identifier: MIT */
/* Mounts of block devices, in all mount namespaces that may be seen. */
#ifndef MOUNTED_H
#define MOUNTED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * struct mount - a file system at a place
 * @number:	what its files say that they are on; of btrfs, no device's
 * @source:	the device that was mounted, or 0
 * @where:	a directory
 * @options:	of the file system
 * @pid:	a process whose namespace has it, or 0 for our own
 * @label:	of the namespace
 */
struct mount {
	dev_t number, source;
	char *where, *options;
	int pid;
	char label[300];
};

struct mounts {
	struct mount *mount;
	size_t n;
};

/* Those of our own namespace come first. */
void mounts_read(struct mounts *mounts);
void mounts_free(struct mounts *mounts);

/* Is it of this device? */
bool mount_is_of(const struct mount *mount, dev_t number);

/* The device below a path of our namespace, whatever stat() says of it; 0 when it is none. */
dev_t mounts_device(const struct mounts *mounts, const char *path);

/* The number of a node of a block device, or 0. */
dev_t block_number(const char *node);

#endif
