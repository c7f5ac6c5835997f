// SPDX-License-Identifier: MIT
#include "persist.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etc.h"
#include "modules.h"
#include "options.h"
#include "sysfs.h"

#define OVERRIDES "/etc/driverctl.d"
#define LOAD "/etc/modules-load.d/flatiommu-bind.conf"
/* After driverctl's rules, which have a unit bind whatever is there. */
#define RULES "/etc/udev/rules.d/99-flatiommu-bind.rules"

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

/* Read once, as list asks for each function; forgotten when we change them. */
static struct names overrides;
static bool overrides_known;

static void forget_overrides(void)
{
	names_free(&overrides);
	overrides_known = false;
}

static bool has_override(const char *address)
{
	char name[PCI_ADDRESS_SIZE + 8], driver[64];
	size_t i;

	if (!overrides_known)
		names_read(&overrides, OVERRIDES);
	overrides_known = true;
	snprintf(name, sizeof(name), "pci-%s", address);
	for (i = 0; i < overrides.n; i++)
		if (!strcmp(overrides.name[i], name))
			return !file_read(driver, sizeof(driver), OVERRIDES "/%s", name) &&
			       !strcmp(driver, "vfio-pci");
	return false;
}

/*
 * Comments in LOAD say whose driverctl's files are, which may as well be of somebody's own: "# 0000:00:04.0 1b36:0010".
 * Returns what follows the address, or NULL.
 */
static const char *find_line(const char *load, const char *address)
{
	char line[PCI_ADDRESS_SIZE + 8];
	const char *at = load;
	size_t len;

	len = snprintf(line, sizeof(line), "\n# %s", address);
	while (at && (at = strstr(at, line))) {
		at += len;
		if (*at == ' ' || *at == '\n')
			return at;
	}
	return NULL;
}

static bool line_id(char *id, size_t size, const char *line)
{
	unsigned int vendor, device;

	if (!line || sscanf(line, " %4x:%4x", &vendor, &device) != 2 || *line != ' ')
		return false;
	snprintf(id, size, "%04x:%04x", vendor, device);
	return true;
}

bool persistent_id(char *id, size_t size, const char *address)
{
	bool found;
	char *load;

	if (!has_override(address))
		return false;
	load = file_text(LOAD);
	found = line_id(id, size, find_line(load, address));
	free(load);
	return found;
}

bool is_persistent(const struct function *f)
{
	char id[16], own[16];

	snprintf(own, sizeof(own), "%04x:%04x", f->vendor, f->device);
	return has_override(f->address) &&
	       (!persistent_id(id, sizeof(id), f->address) || !strcmp(id, own));
}

void persistent_read(struct names *addresses)
{
	char *load = file_text(LOAD);
	size_t i, n = 0;

	names_read(addresses, OVERRIDES);
	for (i = 0; i < addresses->n; i++) {
		char *name = addresses->name[i], *address = name + strlen("pci-");

		if (!strncmp(name, "pci-", strlen("pci-")) && find_line(load, address) &&
		    has_override(address)) {
			memmove(name, address, strlen(address) + 1);
			addresses->name[n++] = name;
		} else {
			free(name);
		}
	}
	addresses->n = n;
	free(load);
}

static bool is_among(const struct functions *functions, const char *address)
{
	size_t i;

	for (i = 0; functions && i < functions->n; i++)
		if (!strcmp(functions->function[i].address, address))
			return true;
	return false;
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
	for (i = 0; i < names.n; i++) {
		const char *line = find_line(before, names.name[i]);

		if (!is_among(functions, names.name[i]))
			fprintf(file, "# %s%.*s\n", names.name[i], (int)strcspn(line, "\n"), line);
	}
	for (i = 0; functions && i < functions->n; i++) {
		const struct function *f = &functions->function[i];

		fprintf(file, "# %s %04x:%04x\n", f->address, f->vendor, f->device);
	}
	names_free(&names);
	if (without_iommu || (before && strstr(before, "\nflatiommu\n")))
		fputs("flatiommu\n", file);
	fputs("vfio-pci\n", file);
	if (fclose(file))
		ret = fail(tool, -errno, "out of memory");
	else if (!before || strcmp(before, text))
		ret = etc_write(tool, changes, "/etc/modules-load.d", LOAD, text);
	free(text);
	free(before);
	return ret;
}

/* Of what LOAD says: another device at the address wants nothing of driverctl. */
static int write_rules(struct tool *tool, struct json_object *changes)
{
	char *load = file_text(LOAD), *before = file_text(RULES), *text = NULL, *line, *rest;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	int ret = 0;

	if (!file) {
		ret = fail(tool, -errno, "out of memory");
		goto free;
	}
	fputs(MADE, file);
	for (line = load ? strtok_r(load, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		static const char rule[] = "ACTION==\"add\", SUBSYSTEM==\"pci\", KERNEL==\"%s\", "
					   "ATTR{%s}!=\"0x%04x\", ENV{SYSTEMD_WANTS}=\"\"\n";
		char address[PCI_ADDRESS_SIZE];
		unsigned int vendor, device;

		if (sscanf(line, "# %19s %4x:%4x", address, &vendor, &device) != 3)
			continue;
		fprintf(file, rule, address, "vendor", vendor);
		fprintf(file, rule, address, "device", device);
	}
	if (fclose(file))
		ret = fail(tool, -errno, "out of memory");
	else if (!before || strcmp(before, text))
		ret = etc_write(tool, changes, "/etc/udev/rules.d", RULES, text);
free:
	free(text);
	free(before);
	free(load);
	return ret;
}

int persist_add(struct tool *tool, struct json_object *changes, const struct functions *functions,
		bool without_iommu)
{
	char path[64];
	int ret = 0;
	size_t i;

	/* what is needed first, so that half of it does no harm */
	if (without_iommu)
		ret = options_add(tool, changes, functions);
	if (!ret)
		ret = write_load(tool, changes, functions, without_iommu);
	if (!ret)
		ret = write_rules(tool, changes);
	for (i = 0; !ret && i < functions->n; i++) {
		snprintf(path, sizeof(path), OVERRIDES "/pci-%s", functions->function[i].address);
		ret = etc_write(tool, changes, OVERRIDES, path, "vfio-pci\n");
	}
	forget_overrides();
	return ret;
}

int persist_remove(struct tool *tool, struct json_object *changes, const char *address)
{
	struct names names;
	char path[64];
	bool others = false;
	int ret = 0;
	size_t i;

	if (has_override(address)) {
		snprintf(path, sizeof(path), OVERRIDES "/pci-%s", address);
		ret = etc_remove(tool, changes, path);
		forget_overrides();
	}
	names_read(&names, OVERRIDES);
	for (i = 0; i < names.n; i++)
		others |= !strncmp(names.name[i], "pci-", 4) && has_override(names.name[i] + 4);
	names_free(&names);
	if (!ret)
		ret = others ? options_drop(tool, changes, address) : options_remove(tool, changes);
	if (!ret && others && file_exists(LOAD))
		ret = write_load(tool, changes, NULL, false);
	if (!ret && others && file_exists(RULES))
		ret = write_rules(tool, changes);
	if (!ret && !others)
		ret = etc_remove(tool, changes, LOAD);
	if (!ret && !others)
		ret = etc_remove(tool, changes, RULES);
	return ret;
}
