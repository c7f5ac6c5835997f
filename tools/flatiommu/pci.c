// SPDX-License-Identifier: MIT
#include "pci.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disks.h"
#include "holders.h"
#include "modules.h"
#include "wait.h"

#define GROUPS "/sys/kernel/iommu_groups"

bool is_noiommu_cdev(const struct function *f)
{
	return !strncmp(f->cdev, "noiommu-", strlen("noiommu-"));
}

/* A function with an IOMMU has a link to it. In VFIO's no-IOMMU mode there is no link. */
static enum behind find_behind(const struct function *f)
{
	char iommu[64];

	if (f->group < 0)
		return is_noiommu_cdev(f) ? BEHIND_NOIOMMU : BEHIND_NOTHING;
	if (link_name(iommu, sizeof(iommu), PCI_DEVICES "/%s/iommu", f->address))
		return file_exists("/sys/class/vfio/noiommu-%d", f->group) ? BEHIND_NOIOMMU :
									     BEHIND_IOMMU;
	return strncmp(iommu, FLATIOMMU_IOMMU, strlen(FLATIOMMU_IOMMU)) ? BEHIND_IOMMU :
									   BEHIND_FLATIOMMU;
}

/* Has this kernel nodes for VFIO's devices? Without them it numbers the devices, too. */
static bool has_cdevs(void)
{
	static int has = -1;
	struct names names;

	if (has < 0 && !names_read(&names, "/sys/class/vfio-dev") && names.n)
		has = file_exists("/sys/class/vfio-dev/%s/dev", names.name[0]);
	if (has < 0)
		return false;
	return has;
}

void function_find_cdev(struct function *f)
{
	struct names names;

	if (!is_of_vfio(f) || !has_cdevs() ||
	    names_read(&names, PCI_DEVICES "/%s/vfio-dev", f->address))
		return;
	if (names.n)
		snprintf(f->cdev, sizeof(f->cdev), "%.*s", (int)sizeof(f->cdev) - 1, names.name[0]);
	names_free(&names);
}

/* Reads vendor, device and class from modalias, whose reader takes no lock. */
int function_identify(struct function *f, struct attributes *attributes)
{
	unsigned int base, sub, interface;
	char text[128];
	int ret;

	ret = attribute_read(attributes, text, sizeof(text), PCI_DEVICES "/%s/modalias",
			     f->address);
	if (ret)
		return ret;
	if (sscanf(text, "pci:v%8xd%8xsv%*8xsd%*8xbc%2xsc%2xi%2x", &f->vendor, &f->device, &base,
		   &sub, &interface) == 5)
		f->class = base << 16 | sub << 8 | interface;
	link_name(f->pf, sizeof(f->pf), PCI_DEVICES "/%s/physfn", f->address);
	return 0;
}

bool function_is_let_go(const struct function *f, bool has_node)
{
	struct names names;
	bool alone;

	if (!has_node || *f->driver || f->behind == BEHIND_FLATIOMMU)
		return has_node && !*f->driver;
	alone = !names_read(&names, GROUPS "/%d/devices", f->group) && names.n == 1;
	names_free(&names);
	return alone;
}

int function_read(struct function *f, const char *name)
{
	struct attributes attributes = NO_ATTRIBUTES;
	char address[PCI_ADDRESS_SIZE], group[16];
	int ret;

	/* @name may be in @f */
	snprintf(address, sizeof(address), "%s", name);
	memset(f, 0, sizeof(*f));
	memcpy(f->address, address, sizeof(address));
	f->group = f->wc_bars = -1;
	ret = function_identify(f, &attributes);
	attributes_close(&attributes);
	if (ret)
		return -ENODEV;
	link_name(f->driver, sizeof(f->driver), PCI_DEVICES "/%s/driver", address);
	if (!link_name(group, sizeof(group), PCI_DEVICES "/%s/iommu_group", address))
		f->group = atoi(group);
	function_find_cdev(f);
	f->behind = find_behind(f);
	f->being_unbound = function_is_let_go(f, f->group >= 0 && !*f->driver &&
					      file_exists("/sys/class/vfio/%d", f->group));
	return 0;
}

struct function *functions_grow(struct functions *functions, const char *address)
{
	struct function *f = reallocarray(functions->function, functions->n + 1, sizeof(*f));

	if (!f)
		return NULL;
	functions->function = f;
	f += functions->n;
	memset(f, 0, sizeof(*f));
	snprintf(f->address, sizeof(f->address), "%s", address);
	f->group = f->wc_bars = -1;
	return f;
}

static int functions_add(struct functions *functions, const char *address)
{
	struct function *f;
	size_t i;

	for (i = 0; i < functions->n; i++)
		if (!strcmp(functions->function[i].address, address))
			return 0;
	f = functions_grow(functions, address);
	if (!f)
		return -ENOMEM;
	if (function_read(f, address))
		return -ENODEV;
	functions->n++;
	return 0;
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
	functions_identify(&all);
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
		/* a serial port may be called 00:02:0.0, which is not a function */
		if (address_parse(address, size, slash + 1) && !strcmp(address, slash + 1) &&
		    file_exists(PCI_DEVICES "/%s", address))
			return true;
		*slash = 0;
	}
	return false;
}

/* Adds the functions of a disk. A multipath NVMe disk belongs to all of its controllers. */
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
		ret = tool_fail(tool, -EINVAL, "%s: %zu controllers lead to it: name them by address",
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
			tool_fail(tool, ret, "%s: there is no such PCI function", address);
		}
		return ret;
	}
	if (kind_parse(&vendor, &device, name)) {
		ret = add_kind(functions, vendor, device);
		if (ret) {
			cure(tool, "flatiommu list");
			tool_fail(tool, ret, "%s: there is no such PCI function", name);
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
			return tool_fail(tool, -ENODEV, "%s: no PCI function is behind it", name);
	}
	cure(tool, "flatiommu list");
	return tool_fail(tool, -EINVAL,
			 "%s: neither a PCI address, nor an interface, a disk or vendor:device", name);
}

int functions_named(struct tool *tool, struct functions *functions, const struct args *args)
{
	int i, ret = 0;

	if (!args->nr_words) {
		ret = functions_scan(functions);
		functions_identify(functions);
		return ret ? tool_fail(tool, ret, PCI_DEVICES ": %s", strerror(-ret)) : 0;
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

bool is_of_vfio(const struct function *f)
{
	return strstr(f->driver, "vfio");
}

bool has_vfio_groups(void)
{
	return file_exists("/sys/class/vfio") || module_is_known("vfio_iommu_type1");
}

/* Looks in sysfs, because the node itself may be missing in a container. */
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

/* Counts the links to virtual functions: a reader of sriov_numvfs may have to wait. */
unsigned int nr_vfs(const struct function *f)
{
	unsigned int count = 0;
	struct names names;
	size_t i;

	names_read(&names, PCI_DEVICES "/%s", f->address);
	for (i = 0; i < names.n; i++)
		count += !strncmp(names.name[i], "virtfn", strlen("virtfn"));
	names_free(&names);
	return count;
}

bool function_vf(char *address, size_t size, const struct function *f, unsigned int index)
{
	return !link_name(address, size, PCI_DEVICES "/%s/virtfn%u", f->address, index);
}

int function_override(struct tool *tool, char *buf, size_t size, const char *address)
{
	int ret = file_read_in_time(buf, size, PCI_DEVICES "/%s/driver_override", address);

	if (!strcmp(buf, "(null)"))
		buf[0] = 0;
	if (ret == -ETIMEDOUT)
		return fail_waiting(tool, address);
	return ret ? tool_fail(tool, ret, "%s: driver_override: %s", address, strerror(-ret)) : 0;
}
