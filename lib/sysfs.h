/* SPDX-License-Identifier: MIT */
/* Properties of a PCI function in sysfs. */
#ifndef LIB_SYSFS_H
#define LIB_SYSFS_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sysfs_function {
	uint32_t segment;
	uint8_t bus;
	uint8_t devfn;
	char bdf[20];
	char driver[32];	/* "" for none */
	int group;		/* -1 for none */
	char group_name[32];	/* "" for none */
	char cdev[32];		/* of the character device, "" for none */
};

/* Parses an address, by the grammar of module/address.h. Returns 0 or -EINVAL. */
int parse_bdf(const char *text, struct sysfs_function *f);
/* Reads all members except the address. Returns 0, -ENODEV, or another -errno. */
int read_function(struct sysfs_function *f);
/* Reads the last part of a link's target, "" if there is no link. Returns 0 or -errno. */
int read_link(const struct sysfs_function *f, const char *name, char *text, size_t size);
/* Returns the NUMA node, or -1. */
int read_node(const struct sysfs_function *f);
/* Reads the addresses of BARs, as the processor sees them. Returns 0 or -errno. */
int read_resources(const struct sysfs_function *f, uint64_t *starts, unsigned int count);
/* Reads the first line of a file. Returns 0 or -errno. */
int read_line(const char *path, char *text, size_t size);

#endif
