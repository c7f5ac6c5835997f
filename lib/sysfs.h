/* SPDX-License-Identifier: MIT */
/* What sysfs says about a PCI function. */
#ifndef LIB_SYSFS_H
#define LIB_SYSFS_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct function {
	uint32_t segment;
	uint8_t bus;
	uint8_t devfn;
	char bdf[20];
	char driver[32];	/* "" for none */
	int group;		/* -1 for none */
	char group_name[32];	/* "" for none */
	char cdev[32];		/* of the character device, "" for none */
};

/* 0 or -EINVAL. What is an address is said in module/address.h. */
int parse_bdf(const char *text, struct function *f);
/* All but the address. 0, -ENODEV, or another -errno when it cannot be read. */
int read_function(struct function *f);
/* Its NUMA node, or -1. */
int read_node(const struct function *f);
/* The first line of a file. 0 or -errno. */
int read_line(const char *path, char *text, size_t size);

#endif
