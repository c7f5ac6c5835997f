// SPDX-License-Identifier: MIT
#include "pci.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disks.h"
#include "modules.h"
#include "sysfs.h"

#define GROUPS "/sys/kernel/iommu_groups"

bool is_noiommu_cdev(const struct function *f)
{
	return !strncmp(f->cdev, "noiommu-", strlen("noiommu-"));
}

static enum behind find_behind(const struct function *f)
{
	if (f->group < 0)
		return is_noiommu_cdev(f) ? BEHIND_NOIOMMU : BEHIND_NOTHING;
	if (!strcmp(f->group_name, "flatiommu"))
		return BEHIND_FLATIOMMU;
	return strcmp(f->group_name, "vfio-noiommu") ? BEHIND_IOMMU : BEHIND_NOIOMMU;
}

/* Where groups are hidden, as run does, the function's IOMMU tells; in VFIO's no-IOMMU mode it has none. */
static void read_group_name(struct function *f, const char *group)
{
	const char *name = "";
	char iommu[64];

	if (!file_read(f->group_name, sizeof(f->group_name), GROUPS "/%s/name", group) ||
	    file_exists(GROUPS "/%s", group))
		return;
	if (link_name(iommu, sizeof(iommu), PCI_DEVICES "/%s/iommu", f->address))
		name = "vfio-noiommu";
	else if (!strncmp(iommu, "flatiommu-", strlen("flatiommu-")))
		name = "flatiommu";
	snprintf(f->group_name, sizeof(f->group_name), "%s", name);
}

/* The directory is there on kernels without such nodes, too: what has a number has one. */
static void read_cdev(struct function *f)
{
	struct names names;

	if (!names_read(&names, PCI_DEVICES "/%s/vfio-dev", f->address) && names.n &&
	    file_exists(PCI_DEVICES "/%s/vfio-dev/%s/dev", f->address, names.name[0]))
		snprintf(f->cdev, sizeof(f->cdev), "%.*s", (int)sizeof(f->cdev) - 1, names.name[0]);
	names_free(&names);
}

int function_read(struct function *f, const char *name)
{
	char address[PCI_ADDRESS_SIZE], group[16];

	/* @name may be in @f */
	snprintf(address, sizeof(address), "%s", name);
	memset(f, 0, sizeof(*f));
	memcpy(f->address, address, sizeof(address));
	f->group = -1;
	if (!file_exists(PCI_DEVICES "/%s", address))
		return -ENODEV;
	f->vendor = file_number(0, PCI_DEVICES "/%s/vendor", address);
	f->device = file_number(0, PCI_DEVICES "/%s/device", address);
	f->class = file_number(0, PCI_DEVICES "/%s/class", address);
	link_name(f->driver, sizeof(f->driver), PCI_DEVICES "/%s/driver", address);
	link_name(f->pf, sizeof(f->pf), PCI_DEVICES "/%s/physfn", address);
	file_read(f->override, sizeof(f->override), PCI_DEVICES "/%s/driver_override", address);
	if (!strcmp(f->override, "(null)"))
		f->override[0] = 0;
	if (!link_name(group, sizeof(group), PCI_DEVICES "/%s/iommu_group", address)) {
		f->group = atoi(group);
		read_group_name(f, group);
	}
	read_cdev(f);
	f->behind = find_behind(f);
	return 0;
}

static int functions_add(struct functions *functions, const char *address)
{
	struct function *f;
	size_t i;

	for (i = 0; i < functions->n; i++)
		if (!strcmp(functions->function[i].address, address))
			return 0;
	f = reallocarray(functions->function, functions->n + 1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	functions->function = f;
	if (function_read(&f[functions->n], address))
		return -ENODEV;
	functions->n++;
	return 0;
}

int functions_scan(struct functions *functions)
{
	struct names names;
	size_t i;
	int ret;

	ret = names_read(&names, PCI_DEVICES);
	/* one that is gone meanwhile is not there */
	for (i = 0; !ret && i < names.n; i++)
		if (functions_add(functions, names.name[i]) == -ENOMEM)
			ret = -ENOMEM;
	names_free(&names);
	return ret == -ENOENT ? 0 : ret;
}

void functions_free(struct functions *functions)
{
	free(functions->function);
	functions->function = NULL;
	functions->n = 0;
}

static int add_kind(struct functions *functions, unsigned int vendor, unsigned int device)
{
	struct functions all = { 0 };
	int ret, found = -ENODEV;
	size_t i;

	ret = functions_scan(&all);
	for (i = 0; !ret && i < all.n; i++)
		if (all.function[i].vendor == vendor && all.function[i].device == device)
			ret = found = functions_add(functions, all.function[i].address);
	functions_free(&all);
	return ret ? ret : found;
}

bool function_above(char *address, size_t size, const char *path)
{
	char real[PATH_MAX], *slash;

	if (!realpath(path, real))
		return false;
	while ((slash = strrchr(real, '/'))) {
		/* a serial port may be called 00:02:0.0, which is no function */
		if (address_parse(address, size, slash + 1) && !strcmp(address, slash + 1) &&
		    file_exists(PCI_DEVICES "/%s", address))
			return true;
		*slash = 0;
	}
	return false;
}

/* A multipath NVMe disk is below no function, but below all of its controllers. */
static int add_disk(struct tool *tool, struct functions *functions, const char *name)
{
	char path[PATH_MAX], address[PCI_ADDRESS_SIZE];
	struct names controllers;
	int ret = -ENODEV;

	snprintf(path, sizeof(path), "/sys/class/block/%s", name);
	if (function_above(address, sizeof(address), path))
		return functions_add(functions, address);
	disk_controllers(&controllers, name);
	if (controllers.n > 1) {
		ret = fail(tool, -EINVAL, "%s: %zu controllers lead to it: name them by address",
			   name, controllers.n);
	} else if (controllers.n) {
		snprintf(path, sizeof(path), "/sys/class/nvme/%s", controllers.name[0]);
		if (function_above(address, sizeof(address), path))
			ret = functions_add(functions, address);
	}
	names_free(&controllers);
	return ret;
}

int functions_resolve(struct tool *tool, struct functions *functions, const char *name)
{
	char address[PCI_ADDRESS_SIZE], path[PATH_MAX];
	const char *base = strncmp(name, "/dev/", 5) ? name : name + 5;
	unsigned int vendor, device;
	int ret = -ENODEV;

	if (address_parse(address, sizeof(address), name)) {
		ret = functions_add(functions, address);
		if (ret) {
			cure(tool, "flatiommu list");
			fail(tool, ret, "%s: there is no such PCI function", address);
		}
		return ret;
	}
	if (kind_parse(&vendor, &device, name)) {
		ret = add_kind(functions, vendor, device);
		if (ret) {
			cure(tool, "flatiommu list");
			fail(tool, ret, "%s: there is no such PCI function", name);
		}
		return ret;
	}
	if (*base && !strchr(base, '/') && *base != '.') {
		static const char *const classes[] = { "net", "nvme" };
		size_t i;

		for (i = 0; i < ARRAY_SIZE(classes); i++) {
			snprintf(path, sizeof(path), "/sys/class/%s/%s", classes[i], base);
			if (function_above(address, sizeof(address), path))
				return functions_add(functions, address);
		}
		if (file_exists("/sys/class/block/%s", base))
			ret = add_disk(tool, functions, base);
		if (ret != -ENODEV)
			return ret;
		if (file_exists("/sys/class/block/%s", base) ||
		    file_exists("/sys/class/net/%s", base))
			return fail(tool, -ENODEV, "%s: no PCI function is behind it", name);
	}
	cure(tool, "flatiommu list");
	return fail(tool, -EINVAL,
		    "%s: neither a PCI address, nor an interface, a disk or vendor:device", name);
}

int functions_named(struct tool *tool, struct functions *functions, const struct args *args)
{
	int i, ret = 0;

	if (!args->nr_words) {
		ret = functions_scan(functions);
		return ret ? fail(tool, ret, PCI_DEVICES ": %s", strerror(-ret)) : 0;
	}
	for (i = 0; !ret && i < args->nr_words; i++)
		ret = functions_resolve(tool, functions, args->words[i]);
	if (ret)
		functions_free(functions);
	return ret;
}

bool is_bridge(const struct function *f)
{
	return f->class >> 16 == 0x06 && f->class >> 8 != 0x0680;
}

bool is_on_vfio(const struct function *f)
{
	return !strcmp(f->driver, "vfio-pci");
}

bool has_vfio_groups(void)
{
	return file_exists("/sys/class/vfio") || module_is_known("vfio_iommu_type1");
}

/* By the kernel's list of nodes, as a container may lack the node itself. */
void function_node(const struct function *f, char *path, size_t size)
{
	const char *noiommu = f->behind == BEHIND_NOIOMMU ? "noiommu-" : "";

	path[0] = 0;
	if (f->group >= 0 && file_exists("/sys/class/vfio/%s%d", noiommu, f->group))
		snprintf(path, size, "/dev/vfio/%s%d", noiommu, f->group);
	else if (*f->cdev)
		snprintf(path, size, "/dev/vfio/devices/%s", f->cdev);
}

const char *behind_name(enum behind behind)
{
	static const char *const names[] = {
		[BEHIND_NOTHING] = "none",
		[BEHIND_FLATIOMMU] = "flatiommu",
		[BEHIND_NOIOMMU] = "vfio-noiommu",
		[BEHIND_IOMMU] = "iommu",
	};

	return names[behind];
}

unsigned int nr_vfs(const struct function *f)
{
	return file_number(0, PCI_DEVICES "/%s/sriov_numvfs", f->address);
}
