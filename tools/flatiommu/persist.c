// SPDX-License-Identifier: MIT
#include "persist.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "modules.h"
#include "output.h"
#include "sysfs.h"

#define OVERRIDES "/etc/driverctl.d"
#define LOAD "/etc/modules-load.d/flatiommu-bind.conf"
#define OPTIONS "/etc/modprobe.d/flatiommu-bind.conf"
#define MADE "# Made by flatiommu bind --persist; flatiommu unbind removes it.\n"

int persist_check(struct tool *tool, bool without_iommu)
{
	struct module_files files;

	module_find(&files);
	if (!file_exists("/usr/sbin/driverctl") && !file_exists("/sbin/driverctl")) {
		cure(tool, "apt install driverctl");
		return fail(tool, -ENOENT, "--persist: driverctl, which binds at boot, is missing");
	}
	if (without_iommu && !files.fit.installed) {
		cure(tool, "make -C /lib/modules/%s/build M=$PWD/module modules_install",
		     kernel_release());
		return fail(tool, -ENOENT, "--persist: flatiommu.ko is not installed");
	}
	return 0;
}

static int write_file(struct tool *tool, struct json_object *changes, const char *directory,
		      const char *path, const char *text)
{
	int ret = 0;

	if (mkdir(directory, 0755) && errno != EEXIST)
		ret = -errno;
	if (!ret)
		ret = file_replace(text, "%s", path);
	if (ret)
		return fail(tool, ret, "%s: %s", path, strerror(-ret));
	note(changes, "wrote %s", path);
	return 0;
}

int persist_add(struct tool *tool, struct json_object *changes, const struct functions *functions,
		bool without_iommu)
{
	char path[64];
	int ret = 0;
	size_t i;

	/* what is needed first, so that half of it does no harm */
	if (without_iommu)
		ret = write_file(tool, changes, "/etc/modprobe.d", OPTIONS,
				 MADE "softdep vfio-pci pre: flatiommu vfio_iommu_type1\n"
				      "options vfio_iommu_type1 allow_unsafe_interrupts=1\n");
	if (!ret && (without_iommu || !file_exists(LOAD)))
		ret = write_file(tool, changes, "/etc/modules-load.d", LOAD,
				 without_iommu ? MADE "flatiommu\nvfio-pci\n" : MADE "vfio-pci\n");
	for (i = 0; !ret && i < functions->n; i++) {
		snprintf(path, sizeof(path), OVERRIDES "/pci-%s", functions->function[i].address);
		ret = write_file(tool, changes, OVERRIDES, path, "vfio-pci\n");
	}
	return ret;
}

bool is_persistent(const char *address)
{
	char driver[64];

	return !file_read(driver, sizeof(driver), OVERRIDES "/pci-%s", address) &&
	       !strcmp(driver, "vfio-pci");
}

static int remove_file(struct tool *tool, struct json_object *changes, const char *path)
{
	if (!unlink(path))
		note(changes, "removed %s", path);
	else if (errno != ENOENT)
		return fail(tool, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

int persist_remove(struct tool *tool, struct json_object *changes, const char *address)
{
	struct names names;
	bool others = false;
	char path[64];
	int ret = 0;
	size_t i;

	if (is_persistent(address)) {
		snprintf(path, sizeof(path), OVERRIDES "/pci-%s", address);
		ret = remove_file(tool, changes, path);
	}
	names_read(&names, OVERRIDES);
	for (i = 0; i < names.n; i++)
		others |= !strncmp(names.name[i], "pci-", 4) && is_persistent(names.name[i] + 4);
	names_free(&names);
	if (!ret && !others)
		ret = remove_file(tool, changes, LOAD);
	if (!ret && !others)
		ret = remove_file(tool, changes, OPTIONS);
	return ret;
}
