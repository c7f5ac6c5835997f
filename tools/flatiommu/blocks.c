// SPDX-License-Identifier: MIT
#include "blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "disks.h"
#include "sysfs.h"

#define BLOCK "/sys/class/block"

/* A block device that the kernel does not list among the holders of the device below it. */
struct backed {
	const char *name;
	dev_t device;
};

/* Returns the device number of a block device, or 0. */
static dev_t number_of(const char *name)
{
	unsigned int major, minor;
	char text[32];

	if (file_read(text, sizeof(text), BLOCK "/%s/dev", name) ||
	    sscanf(text, "%u:%u", &major, &minor) != 2)
		return 0;
	return makedev(major, minor);
}

static int add(struct layers *layers, const char *name, size_t below)
{
	char label[160], called[64];

	if (!file_read(called, sizeof(called), BLOCK "/%s/dm/name", name))
		snprintf(label, sizeof(label), "%.64s (%s)", name, called);
	else
		snprintf(label, sizeof(label), "%.64s", name);
	return layers_add(layers, name, label, number_of(name), below);
}

/*
 * Returns the device below a loop device. LOOP_GET_STATUS64 is right also if the file is deleted,
 * or has another path in another namespace.
 */
static dev_t loop_device(const char *name, const char *file, const struct mounts *mounts)
{
	struct loop_info64 info = { 0 };
	char node[PATH_MAX];
	struct stat st;
	dev_t device;
	int fd;

	snprintf(node, sizeof(node), "/dev/%s", name);
	fd = open(node, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && !ioctl(fd, LOOP_GET_STATUS64, &info)) {
		device = info.lo_rdevice ? info.lo_rdevice : info.lo_device;
	} else {
		device = block_number(file);
		if (!device && !stat(file, &st))
			device = st.st_dev;
	}
	if (fd >= 0)
		close(fd);
	/* a file on btrfs has the number of its subvolume */
	return major(device) ? device : mounts_device(mounts, file);
}

static dev_t backing_device(const char *name, const struct mounts *mounts)
{
	char file[PATH_MAX];

	if (!file_read(file, sizeof(file), BLOCK "/%s/loop/backing_file", name))
		return loop_device(name, file, mounts);
	if (!file_read(file, sizeof(file), BLOCK "/%s/backing_dev", name))
		return block_number(file);
	return 0;
}

static size_t find_backed(struct backed *backed, const struct names *all,
			  const struct mounts *mounts)
{
	size_t i, n = 0;

	for (i = 0; i < all->n; i++) {
		backed[n].device = backing_device(all->name[i], mounts);
		backed[n].name = all->name[i];
		if (backed[n].device)
			n++;
	}
	return n;
}

/* Adds partitions: they are in the disk's directory (loop0p1 in loop0's), not among its holders. */
static int add_partitions(struct layers *layers, size_t below)
{
	char disk[64];
	struct names names;
	int ret = 0;
	size_t i;

	snprintf(disk, sizeof(disk), "%s", layers->layer[below].name);
	names_read(&names, BLOCK "/%s", disk);
	for (i = 0; i < names.n && !ret; i++)
		if (file_exists(BLOCK "/%s/%s/partition", disk, names.name[i]))
			ret = add(layers, names.name[i], below);
	names_free(&names);
	return ret;
}

static int add_holders(struct layers *layers, size_t below)
{
	struct names names;
	int ret = 0;
	size_t i;

	names_read(&names, BLOCK "/%s/holders", layers->layer[below].name);
	for (i = 0; i < names.n && !ret; i++)
		ret = add(layers, names.name[i], below);
	names_free(&names);
	return ret;
}

int block_layers(struct layers *layers, const char *address, const struct mounts *mounts)
{
	struct names disks, all;
	struct backed *backed;
	size_t i, j, n;
	int ret;

	ret = disks_of(&disks, address);
	for (i = 0; i < disks.n && !ret; i++)
		ret = add(layers, disks.name[i], BOTTOM);
	names_free(&disks);
	if (ret || !layers->n)
		return ret;
	names_read(&all, BLOCK);
	backed = calloc(all.n + 1, sizeof(*backed));
	n = backed ? find_backed(backed, &all, mounts) : 0;
	for (i = 0; i < layers->n && !ret; i++) {
		ret = add_partitions(layers, i);
		if (!ret)
			ret = add_holders(layers, i);
		for (j = 0; j < n && !ret; j++)
			if (backed[j].device == layers->layer[i].number)
				ret = add(layers, backed[j].name, i);
	}
	free(backed);
	names_free(&all);
	return ret;
}

void block_cure(char *cure, size_t size, const char *name)
{
	char called[64], uuid[160];

	cure[0] = 0;
	if (!file_read(called, sizeof(called), BLOCK "/%s/dm/name", name)) {
		file_read(uuid, sizeof(uuid), BLOCK "/%s/dm/uuid", name);
		if (!strncmp(uuid, "LVM-", 4))
			snprintf(cure, size, "lvchange -an /dev/mapper/%s", called);
		else if (!strncmp(uuid, "CRYPT-", 6))
			snprintf(cure, size, "cryptsetup close %s", called);
		else
			snprintf(cure, size, "dmsetup remove %s", called);
	} else if (file_exists(BLOCK "/%s/md", name)) {
		snprintf(cure, size, "mdadm --stop /dev/%s", name);
	} else if (file_exists(BLOCK "/%s/loop", name)) {
		snprintf(cure, size, "losetup -d /dev/%s", name);
	} else if (file_exists(BLOCK "/%s/bcache/stop", name)) {
		snprintf(cure, size, "echo 1 >/sys/block/%s/bcache/stop", name);
	} else if (!strncmp(name, "zram", 4)) {
		snprintf(cure, size, "echo 1 >/sys/block/%s/reset", name);
	}
}
