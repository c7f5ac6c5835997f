// SPDX-License-Identifier: MIT
#include "disks.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pci.h"

#define SUBSYSTEMS "/sys/class/nvme-subsystem"

static int names_add(struct names *names, const char *name)
{
	char **grown;
	size_t i;

	for (i = 0; i < names->n; i++)
		if (!strcmp(names->name[i], name))
			return 0;
	grown = reallocarray(names->name, names->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	names->name = grown;
	grown[names->n] = strdup(name);
	if (!grown[names->n])
		return -ENOMEM;
	names->n++;
	return 0;
}

/* Is it a controller such as nvme0, not a disk such as nvme0n1? */
static bool is_controller(const char *name)
{
	int end = 0;

	sscanf(name, "nvme%*u%n", &end);
	return end && !name[end];
}

/* Cuts the partition off: nvme0n1p2 is of nvme0n1. */
static void cut_partition(char *disk)
{
	int end = 0;

	sscanf(disk, "nvme%*un%*u%n", &end);
	if (end && disk[end] == 'p')
		disk[end] = 0;
}

void disk_controllers(struct names *controllers, const char *disk)
{
	struct names subsystems, names;
	size_t i, j;

	memset(controllers, 0, sizeof(*controllers));
	names_read(&subsystems, SUBSYSTEMS);
	for (i = 0; i < subsystems.n; i++) {
		const char *subsystem = subsystems.name[i];
		char head[64];

		snprintf(head, sizeof(head), "%s", disk);
		cut_partition(head);
		if (!file_exists(SUBSYSTEMS "/%s/%s", subsystem, head))
			continue;
		names_read(&names, SUBSYSTEMS "/%s", subsystem);
		for (j = 0; j < names.n; j++)
			if (is_controller(names.name[j]))
				names_add(controllers, names.name[j]);
		names_free(&names);
	}
	names_free(&subsystems);
}

/* Is the disk below the function, or does a controller of the function lead to it? */
static bool is_disk_of(const char *disk, const char *function_path)
{
	char path[PATH_MAX], real[PATH_MAX];
	size_t len = strlen(function_path), i;
	struct names controllers;
	bool found;

	snprintf(path, sizeof(path), "/sys/class/block/%s", disk);
	found = realpath(path, real) && !strncmp(real, function_path, len) && real[len] == '/';
	if (found || !file_exists("/sys/class/nvme-subsystem"))
		return found;
	disk_controllers(&controllers, disk);
	for (i = 0; i < controllers.n && !found; i++) {
		snprintf(path, sizeof(path), "/sys/class/nvme/%s", controllers.name[i]);
		found = realpath(path, real) && !strncmp(real, function_path, len) &&
			real[len] == '/';
	}
	names_free(&controllers);
	return found;
}

int disks_of(struct names *disks, const char *address)
{
	char path[PATH_MAX], real[PATH_MAX];
	struct names all;
	int ret = 0;
	size_t i;

	memset(disks, 0, sizeof(*disks));
	snprintf(path, sizeof(path), PCI_DEVICES "/%s", address);
	if (!realpath(path, real))
		return -errno;
	names_read(&all, "/sys/class/block");
	for (i = 0; i < all.n && !ret; i++)
		if (is_disk_of(all.name[i], real))
			ret = names_add(disks, all.name[i]);
	names_free(&all);
	return ret;
}
