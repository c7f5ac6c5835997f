// SPDX-License-Identifier: MIT
#include "persist.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flat.h"
#include "modules.h"
#include "output.h"
#include "packages.h"
#include "sysfs.h"

#define OVERRIDES "/etc/driverctl.d"
#define LOAD "/etc/modules-load.d/flatiommu-bind.conf"
#define MODPROBE "/etc/modprobe.d"
#define OPTIONS MODPROBE "/flatiommu-bind.conf"
#define DEVICES "options flatiommu devices="
/* The kernel takes no longer parameter. */
#define DEVICES_MAX 1024
#define MADE "# Made by flatiommu bind --persist; flatiommu unbind removes it.\n"

int persist_check(struct tool *tool, bool without_iommu)
{
	struct module_files files;
	char install[512];

	module_find(&files);
	if (!file_exists("/usr/sbin/driverctl") && !file_exists("/sbin/driverctl") &&
	    !file_exists("/usr/bin/driverctl")) {
		install_command(install, sizeof(install), DRIVERCTL);
		cure(tool, "%s", install);
		return fail(tool, -ENOENT, "--persist: driverctl, which binds at boot, is missing");
	}
	if (without_iommu && !files.fit.installed) {
		module_install_command(install, sizeof(install));
		cure(tool, "%s", install);
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

/* What devices= of our file has: 0000:00:04.0/wc=2,0000:00:05.0/wc=0+2, or "". */
static void devices_read(char *list, size_t size)
{
	char *text = file_text(OPTIONS), *found = text ? strstr(text, DEVICES) : NULL;

	found = found ? found + strlen(DEVICES) : "";
	snprintf(list, size, "%.*s", (int)strcspn(found, "\n"), found);
	free(text);
}

/* 10000:00:04.0 ends with another address. */
static char *devices_find(char *list, const char *address)
{
	char *at = strstr(list, address);

	while (at && at > list && at[-1] != ',')
		at = strstr(at + 1, address);
	return at;
}

static void devices_drop(char *list, const char *address)
{
	char *at = devices_find(list, address), *end;

	if (!at)
		return;
	end = at + strcspn(at, ",");
	if (*end)
		end++;
	else if (at > list)
		at--;
	memmove(at, end, strlen(end) + 1);
}

/* What its claim holds write-combined now. */
static int devices_add(struct tool *tool, char *list, size_t size, const char *address)
{
	struct json_object *wc_bars;
	struct function f;
	char wc[64];
	size_t len;

	devices_drop(list, address);
	if (function_read(&f, address))
		return 0;
	wc_bars = flat_wc_bars(&f);
	wc_text(wc, sizeof(wc), wc_bars);
	json_object_put(wc_bars);
	if (!*wc)
		return 0;
	len = strlen(list);
	if (len + strlen(address) + strlen(wc) + strlen(",/wc=") >= size)
		return fail(tool, -ENOSPC, "--persist: devices= in " OPTIONS " is full");
	snprintf(list + len, size - len, "%s%s/wc=%s", len ? "," : "", address, wc);
	return 0;
}

/* The kernel would take one devices= only, of all that there are. */
static int check_devices(struct tool *tool)
{
	struct names names;
	int ret = 0;
	size_t i;

	names_read(&names, MODPROBE);
	for (i = 0; i < names.n && !ret; i++) {
		char *text = file_text(MODPROBE "/%s", names.name[i]);
		const char *line = text ? strstr(text, "options flatiommu ") : NULL;

		if (line && strcmp(names.name[i], strrchr(OPTIONS, '/') + 1) &&
		    memmem(line, strcspn(line, "\n"), "devices=", strlen("devices=")))
			ret = fail(tool, -EEXIST,
				   "--persist: " MODPROBE "/%s has a devices= that --wc would have to be in",
				   names.name[i]);
		free(text);
	}
	names_free(&names);
	return ret;
}

bool is_persistent(const char *address)
{
	char driver[64];

	return !file_read(driver, sizeof(driver), OVERRIDES "/pci-%s", address) &&
	       !strcmp(driver, "vfio-pci");
}

/* Comments in LOAD: driverctl's files may as well be of somebody's own. */
static bool is_ours(const char *load, const char *address)
{
	char line[PCI_ADDRESS_SIZE + 8];

	snprintf(line, sizeof(line), "\n# %s\n", address);
	return load && strstr(load, line);
}

void persistent_read(struct names *addresses)
{
	char *load = file_text(LOAD);
	size_t i, n = 0;

	names_read(addresses, OVERRIDES);
	for (i = 0; i < addresses->n; i++) {
		char *name = addresses->name[i], *address = name + strlen("pci-");

		if (!strncmp(name, "pci-", strlen("pci-")) && is_ours(load, address) &&
		    is_persistent(address)) {
			memmove(name, address, strlen(address) + 1);
			addresses->name[n++] = name;
		} else {
			free(name);
		}
	}
	addresses->n = n;
	free(load);
}

/* @functions: that come to those that are persistent already, or NULL. */
static int write_load(struct tool *tool, struct json_object *changes,
		      const struct functions *functions, bool without_iommu)
{
	char *before = file_text(LOAD), *text = NULL;
	struct names names;
	size_t i, size;
	FILE *file = open_memstream(&text, &size);
	int ret = 0;

	if (!file) {
		free(before);
		return fail(tool, -errno, "out of memory");
	}
	fputs(MADE, file);
	persistent_read(&names);
	for (i = 0; i < names.n; i++)
		fprintf(file, "# %s\n", names.name[i]);
	for (i = 0; functions && i < functions->n; i++) {
		const char *address = functions->function[i].address;

		if (!is_ours(before, address) || !is_persistent(address))
			fprintf(file, "# %s\n", address);
	}
	names_free(&names);
	if (without_iommu || (before && strstr(before, "\nflatiommu\n")))
		fputs("flatiommu\n", file);
	fputs("vfio-pci\n", file);
	if (fclose(file))
		ret = fail(tool, -errno, "out of memory");
	else if (!before || strcmp(before, text))
		ret = write_file(tool, changes, "/etc/modules-load.d", LOAD, text);
	free(text);
	free(before);
	return ret;
}

static int write_options(struct tool *tool, struct json_object *changes, const char *devices)
{
	char text[DEVICES_MAX + 512];

	snprintf(text, sizeof(text),
		 MADE "softdep vfio-pci pre: flatiommu vfio_iommu_type1\n"
		      "options vfio_iommu_type1 allow_unsafe_interrupts=1\n"
		      "options iommufd allow_unsafe_interrupts=1\n%s%s%s",
		 *devices ? DEVICES : "", devices, *devices ? "\n" : "");
	return write_file(tool, changes, MODPROBE, OPTIONS, text);
}

int persist_add(struct tool *tool, struct json_object *changes, const struct functions *functions,
		bool without_iommu)
{
	char path[64], devices[DEVICES_MAX];
	int ret = 0;
	size_t i;

	devices_read(devices, sizeof(devices));
	for (i = 0; !ret && i < functions->n; i++)
		ret = devices_add(tool, devices, sizeof(devices), functions->function[i].address);
	if (!ret && *devices)
		ret = check_devices(tool);
	/* what is needed first, so that half of it does no harm */
	if (!ret && without_iommu)
		ret = write_options(tool, changes, devices);
	if (!ret)
		ret = write_load(tool, changes, functions, without_iommu);
	for (i = 0; !ret && i < functions->n; i++) {
		snprintf(path, sizeof(path), OVERRIDES "/pci-%s", functions->function[i].address);
		ret = write_file(tool, changes, OVERRIDES, path, "vfio-pci\n");
	}
	return ret;
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
	char path[64], devices[DEVICES_MAX];
	struct names names;
	bool others = false;
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
	devices_read(devices, sizeof(devices));
	if (!ret && others && devices_find(devices, address)) {
		devices_drop(devices, address);
		ret = write_options(tool, changes, devices);
	}
	if (!ret && others && file_exists(LOAD))
		ret = write_load(tool, changes, NULL, false);
	if (!ret && !others)
		ret = remove_file(tool, changes, LOAD);
	if (!ret && !others)
		ret = remove_file(tool, changes, OPTIONS);
	return ret;
}
