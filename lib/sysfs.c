// SPDX-License-Identifier: MIT
#include "sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../module/address.h"

int parse_bdf(const char *text, struct sysfs_function *f)
{
	struct flat_address a;

	*f = (struct sysfs_function){ .group = -1 };
	if (!flat_parse_address(text, &a))
		return -EINVAL;
	f->segment = a.segment;
	f->bus = (uint8_t)a.bus;
	f->devfn = (uint8_t)(a.slot << 3 | a.function);
	snprintf(f->bdf, sizeof(f->bdf), "%04x:%02x:%02x.%x", a.segment, a.bus, a.slot, a.function);
	return 0;
}

int read_line(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;
	int err = 0;

	if (fd < 0)
		return -errno;
	length = read(fd, text, size - 1);
	if (length < 0)
		err = -errno;
	else
		text[length] = 0;
	close(fd);
	if (!err)
		text[strcspn(text, "\n")] = 0;
	return err;
}

int read_link(const struct sysfs_function *f, const char *name, char *text, size_t size)
{
	char path[64], target[256], *base;
	ssize_t length;

	text[0] = 0;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", f->bdf, name);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return errno == ENOENT ? 0 : -errno;
	target[length] = 0;
	base = strrchr(target, '/');
	snprintf(text, size, "%.*s", (int)size - 1, base ? base + 1 : target);
	return 0;
}

/*
 * The directory exists on kernels without character devices, too. Only a device with a number has a
 * node.
 */
static int read_cdev(struct sysfs_function *f)
{
	const struct dirent *entry;
	char path[64], number[128];
	DIR *dir;
	int err = 0;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", f->bdf);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (!err && (entry = readdir(dir))) {
		if (!strstr(entry->d_name, "vfio") || strlen(entry->d_name) >= sizeof(f->cdev))
			continue;
		snprintf(number, sizeof(number), "%s/%.40s/dev", path, entry->d_name);
		if (!access(number, F_OK))
			strcpy(f->cdev, entry->d_name);
		else if (errno != ENOENT)
			err = -errno;
	}
	closedir(dir);
	return err;
}

/*
 * Only a group without a name has a real IOMMU, so a name that cannot be read must not count as
 * none. If groups are hidden, as by flatiommu run, look at the function's IOMMU, which VFIO's
 * no-IOMMU mode does not have.
 */
static int read_group(struct sysfs_function *f)
{
	char path[64], group[16], iommu[64];
	int err = read_link(f, "iommu_group", group, sizeof(group));

	f->group = group[0] ? atoi(group) : -1;
	f->group_name[0] = 0;
	if (err || f->group < 0)
		return err;
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/name", f->group);
	err = read_line(path, f->group_name, sizeof(f->group_name));
	if (err != -ENOENT)
		return err;
	*strrchr(path, '/') = 0;
	if (!access(path, F_OK))
		return 0;
	if (errno != ENOENT)
		return -errno;
	err = read_link(f, "iommu", iommu, sizeof(iommu));
	if (!err && !iommu[0])
		strcpy(f->group_name, "vfio-noiommu");
	else if (!err && !strncmp(iommu, "flatiommu-", strlen("flatiommu-")))
		strcpy(f->group_name, "flatiommu");
	return err;
}

int read_function(struct sysfs_function *f)
{
	char path[64];
	int err;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", f->bdf);
	if (access(path, F_OK))
		return errno == ENOENT ? -ENODEV : -errno;
	err = read_link(f, "driver", f->driver, sizeof(f->driver));
	if (!err)
		err = read_group(f);
	f->cdev[0] = 0;
	return err ? err : read_cdev(f);
}

int read_resources(const struct sysfs_function *f, uint64_t *starts, unsigned int count)
{
	char path[64], line[80];
	unsigned int i;
	FILE *file;
	int err = 0;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource", f->bdf);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	for (i = 0; i < count && !err; i++)
		if (!fgets(line, sizeof(line), file) || sscanf(line, "%" SCNx64, &starts[i]) != 1)
			err = -EIO;
	fclose(file);
	return err;
}

int read_node(const struct sysfs_function *f)
{
	char path[64], text[16];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/numa_node", f->bdf);
	return read_line(path, text, sizeof(text)) ? -1 : atoi(text);
}
