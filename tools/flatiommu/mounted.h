/* SPDX-License-Identifier: MIT */
/* Mounts of block devices and of the host's file systems, in all visible mount namespaces. */
#ifndef MOUNTED_H
#define MOUNTED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * struct mount - a mounted file system
 * @number:	device number of its files (st_dev); with btrfs, not that of a block device
 * @source:	device number of the mounted device, or 0
 * @tag:	with 9p and virtiofs: the tag of the host's file system, else NULL
 * @is_9p:	it is 9p
 * @where:	the directory
 * @options:	options of the file system
 * @pid:	a process whose namespace has the mount, or 0 for our own namespace
 * @label:	name of the namespace
 */
struct mount {
	dev_t number, source;
	char *tag, *where, *options;
	bool is_9p;
	int pid;
	char label[300];
};

struct mounts {
	struct mount *mount;
	size_t n;
};

/* Reads all mounts. Mounts of our own namespace come first. */
void mounts_read(struct mounts *mounts);
void mounts_free(struct mounts *mounts);

/* Is the mount of this device? */
bool mount_is_of(const struct mount *mount, dev_t number);

/*
 * Returns the block device below a path of our namespace, also if stat() gives another number, as
 * on btrfs. Returns 0 if there is none.
 */
dev_t mounts_device(const struct mounts *mounts, const char *path);

/* Returns the device number of a block device's node, or 0. */
dev_t block_number(const char *node);

#endif
