// SPDX-License-Identifier: MIT
#include "functions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../module/address.h"
#include "raw.h"

#define DEVICES "/sys/bus/pci/devices"

bool function_of(const char *text, struct flatiommu_function *function)
{
	struct flat_address a;

	if (!flat_parse_address(text, &a))
		return false;
	*function = (struct flatiommu_function){ .segment = a.segment, .bus = (__u8)a.bus,
						 .devfn = (__u8)(a.slot << 3 | a.function) };
	return true;
}

/* Reads the last part of a sysfs link's target. */
static bool last_of_link(const char *link, char *name, size_t size)
{
	char to[512], *last;

	if (raw_readlink(link, to, sizeof(to)))
		return false;
	last = strrchr(to, '/');
	return snprintf(name, size, "%s", last ? last + 1 : to) < (int)size;
}

bool function_is_on_uio(const char *address)
{
	char path[128], driver[64];

	snprintf(path, sizeof(path), DEVICES "/%.32s/driver", address);
	return last_of_link(path, driver, sizeof(driver)) && strstr(driver, "uio");
}

bool function_of_group(const char *number, int node, struct flatiommu_function *function)
{
	struct flatiommu_info info = { .size = sizeof(info), .flags = FLATIOMMU_INFO_GROUP };
	char *end;

	info.group = (int)strtoul(number, &end, 10);
	if (*end || raw(SYS_ioctl, node, FLATIOMMU_INFO, &info) < 0)
		return false;
	*function = info.function;
	return true;
}

static bool by_link(const char *form, const char *name, struct flatiommu_function *function)
{
	char path[128], address[64];

	snprintf(path, sizeof(path), form, name);
	return last_of_link(path, address, sizeof(address)) && function_of(address, function);
}

const char *group_behind(const char *path)
{
	static const char vfio[] = "/dev/vfio/";
	const char *number = path + sizeof(vfio) - 1;

	return !strncmp(path, vfio, sizeof(vfio) - 1) && *number >= '0' && *number <= '9' ? number : NULL;
}

bool function_behind(const char *path, struct flatiommu_function *function)
{
	static const char cdev[] = "/dev/vfio/devices/", uio[] = "/dev/uio";
	const char *name = strrchr(path, '/'), *parent;
	char address[32];

	if (!name || name == path)
		return false;
	if (!strncmp(path, uio, sizeof(uio) - 1))
		return by_link("/sys/class/uio/%.32s/device", name + 1, function);
	if (!strncmp(path, cdev, sizeof(cdev) - 1))
		return by_link("/sys/class/vfio-dev/%.32s/device", name + 1, function);
	if (strncmp(path, "/sys/", 5) || (strcmp(name, "/config") && strncmp(name, "/resource", 9)))
		return false;
	for (parent = name; parent > path && parent[-1] != '/'; parent--)
		;
	return snprintf(address, sizeof(address), "%.*s", (int)(name - parent), parent) <
		       (int)sizeof(address) && function_of(address, function) &&
	       (!strcmp(name, "/config") || !function_is_on_uio(address));
}

/* getdents64(2) */
struct entry {
	uint64_t inode;
	int64_t offset;
	unsigned short size;
	unsigned char type;
	char name[];
};

void each_name(const char *directory, bool (*each)(const char *name))
{
	_Alignas(struct entry) char buffer[4096];
	int fd = raw_open(directory, O_RDONLY | O_DIRECTORY);
	long n, at;

	if (fd < 0)
		return;
	while ((n = raw(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (at = 0; at < n; ) {
			const struct entry *entry = (const void *)(buffer + at);

			at += entry->size;
			if (*entry->name != '.' && !each(entry->name))
				goto close;
		}
	}
close:
	raw_close(fd);
}

void functions_each(bool (*each)(const char *address))
{
	each_name(DEVICES, each);
}
