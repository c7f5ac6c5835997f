// SPDX-License-Identifier: MIT
#include "links.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sysfs.h"

/* Directories of nodes; links to the nodes are in by-path below them. */
static const char *const directories[] = { "/dev/vfio", "/dev/vfio/devices" };

/* Makes a link. A missing link is no error: the node works without it. */
static int make(const char *directory, const char *address, const char *node)
{
	char path[128], target[128];

	snprintf(path, sizeof(path), "%s/by-path", directory);
	if (mkdir(path, 0755) && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/by-path/pci-%s", directory, address);
	snprintf(target, sizeof(target), "../%s", node);
	unlink(path);
	return symlink(target, path);
}

void links_make(const struct function *f)
{
	char group[16];

	if (file_exists("/run/udev/control") || f->behind == BEHIND_NOIOMMU)
		return;
	snprintf(group, sizeof(group), "%d", f->group);
	if (file_exists("/dev/vfio/%s", group))
		make("/dev/vfio", f->address, group);
	if (*f->cdev)
		make("/dev/vfio/devices", f->address, f->cdev);
}

void links_remove(const char *address)
{
	char path[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(directories); i++) {
		snprintf(path, sizeof(path), "%s/by-path/pci-%s", directories[i], address);
		if (access(path, F_OK))
			unlink(path);
		*strrchr(path, '/') = 0;
		rmdir(path);
	}
}
