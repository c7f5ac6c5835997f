// SPDX-License-Identifier: MIT
/*
 * Reads all PCI functions with as few files as possible: drivers, groups and nodes of hundreds of
 * functions come from the directories that list them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ko.h"
#include "pci.h"

#define DRIVERS "/sys/bus/pci/drivers"
#define NOIOMMU "noiommu-"

static struct function *find(struct functions *functions, const char *address)
{
	size_t i;

	for (i = 0; i < functions->n; i++)
		if (!strcmp(functions->function[i].address, address))
			return &functions->function[i];
	return NULL;
}

static void add_driver(struct functions *functions, const char *driver)
{
	struct function *f;
	struct names names;
	size_t i;

	names_read(&names, DRIVERS "/%s", driver);
	for (i = 0; i < names.n; i++) {
		f = strchr(names.name[i], ':') ? find(functions, names.name[i]) : NULL;
		if (f)
			snprintf(f->driver, sizeof(f->driver), "%s", driver);
	}
	names_free(&names);
}

/* Reads drivers' directories, four system calls each, or functions' links if these are fewer. */
static void find_drivers(struct functions *functions)
{
	struct names drivers;
	size_t i;

	names_read(&drivers, DRIVERS);
	for (i = 0; i < drivers.n && drivers.n * 4 < functions->n; i++)
		add_driver(functions, drivers.name[i]);
	for (i = 0; i < functions->n && drivers.n * 4 >= functions->n; i++) {
		struct function *f = &functions->function[i];

		link_name(f->driver, sizeof(f->driver), PCI_DEVICES "/%s/driver", f->address);
	}
	names_free(&drivers);
}

/**
 * struct groups - IOMMU groups of the machine
 * @claims:	names of flatiommu's dummy IOMMUs
 * @vfio:	names of VFIO's nodes
 * @others:	there are groups that no claim has made
 */
struct groups {
	struct names claims, vfio;
	bool others;
};

static void read_groups(struct groups *groups)
{
	struct names all;
	size_t i;

	names_read(&groups->claims, "/sys/class/iommu");
	names_read(&groups->vfio, "/sys/class/vfio");
	names_read(&all, "/sys/kernel/iommu_groups");
	/* below flatiommu run no groups are visible */
	groups->others = all.n > groups->claims.n;
	names_free(&all);
	for (i = 0; i < groups->claims.n; i++)
		groups->others |= strncmp(groups->claims.name[i], FLATIOMMU_IOMMU,
					  strlen(FLATIOMMU_IOMMU));
	for (i = 0; i < groups->vfio.n; i++)
		groups->others |= !strncmp(groups->vfio.name[i], NOIOMMU, strlen(NOIOMMU));
}

static bool has_node(const struct function *f, const struct groups *groups)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", f->group);
	return names_have(&groups->vfio, number);
}

static void find_group(struct function *f, const struct groups *groups, int module)
{
	char name[64], number[16];

	snprintf(name, sizeof(name), FLATIOMMU_IOMMU "%s", f->address);
	if (names_have(&groups->claims, name))
		f->behind = BEHIND_FLATIOMMU;
	else if (!groups->others)
		return;
	/* the module tells the group and the options of the claim in one call */
	if (f->behind == BEHIND_FLATIOMMU && !flat_info(module, f))
		return;
	if (link_name(number, sizeof(number), PCI_DEVICES "/%s/iommu_group", f->address))
		return;
	f->group = atoi(number);
	snprintf(name, sizeof(name), NOIOMMU "%d", f->group);
	if (f->behind != BEHIND_FLATIOMMU)
		f->behind = names_have(&groups->vfio, name) ? BEHIND_NOIOMMU : BEHIND_IOMMU;
}

int functions_scan(struct functions *functions)
{
	struct groups groups;
	struct names names;
	int module, ret;
	size_t i;

	ret = names_read(&names, PCI_DEVICES);
	for (i = 0; !ret && i < names.n; i++) {
		if (functions_grow(functions, names.name[i]))
			functions->n++;
		else
			ret = -ENOMEM;
	}
	names_free(&names);
	if (ret || !functions->n)
		return ret == -ENOENT ? 0 : ret;
	find_drivers(functions);
	read_groups(&groups);
	module = groups.claims.n ? flat_open() : -ENOENT;
	for (i = 0; i < functions->n; i++) {
		struct function *f = &functions->function[i];

		function_find_cdev(f);
		find_group(f, &groups, module);
		if (f->group < 0 && is_noiommu_cdev(f))
			f->behind = BEHIND_NOIOMMU;
		f->being_unbound = f->group >= 0 && !*f->driver &&
				   function_is_let_go(f, has_node(f, &groups));
	}
	flat_close(module);
	names_free(&groups.vfio);
	names_free(&groups.claims);
	return 0;
}

void functions_identify(struct functions *functions)
{
	struct attributes attributes = NO_ATTRIBUTES;
	size_t i, n = 0;

	for (i = 0; i < functions->n; i++) {
		/* leave out functions that are gone meanwhile */
		if (!function_identify(&functions->function[i], &attributes))
			functions->function[n++] = functions->function[i];
	}
	functions->n = n;
	attributes_close(&attributes);
}
