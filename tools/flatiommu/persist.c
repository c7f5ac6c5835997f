// SPDX-License-Identifier: MIT
#include "persist.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "etc.h"
#include "modules.h"
#include "options.h"
#include "output.h"
#include "packages.h"
#include "sysfs.h"

#define LOAD "/etc/modules-load.d/flatiommu-bind.conf"

/*
 * A rule for each function. The rules are also the list of persistent functions. The rule sets the
 * override before udev loads drivers for the function. If a driver has it already, as one of an
 * initramfs may, the rule unbinds it, unless it is in use: it may be another device of the model.
 * If the module is missing, for example because it was removed or was not built for this kernel,
 * the rule leaves the function to its ordinary driver. udev runs commands of less than 1024 bytes.
 */
#define RULE_FOR "ACTION==\"add\", SUBSYSTEM==\"pci\", KERNEL==\"%19[^\"]\", ATTR{vendor}==\"0x%4x\", " \
		 "ATTR{device}==\"0x%4x\""
#define RULE "ACTION==\"add\", SUBSYSTEM==\"pci\", KERNEL==\"%s\", ATTR{vendor}==\"0x%04x\", " \
	     "ATTR{device}==\"0x%04x\", DRIVER!=\"vfio-pci\", ATTR{driver_override}=\"vfio-pci\", " \
	     "RUN{builtin}+=\"kmod load vfio-pci\", RUN+=\"/bin/sh -c 'cd /sys%%p && " \
	     "if [ -e iommu_group ] || modprobe -q flatiommu || [ -e /sys/module/flatiommu ]; then " \
	     "[ ! -e driver ] || if PATH=$$PATH:%s flatiommu bind --check %%k >/dev/null 2>/dev/kmsg; " \
	     "then echo %%k >driver/unbind; else echo >driver_override; fi; " \
	     "else echo >driver_override; " \
	     "echo flatiommu: %%k is not bound, as the module flatiommu is missing >/dev/kmsg; fi; " \
	     "echo %%k >/sys/bus/pci/drivers_probe'\"\n"

int persist_check(struct tool *tool, bool without_iommu)
{
	struct module_files files;
	char install[512];

	module_find(&files);
	if (!file_exists("/usr/bin/udevadm") && !file_exists("/bin/udevadm") &&
	    !file_exists("/sbin/udevadm"))
		return tool_fail(tool, -ENOENT, "--persist: udev, which binds at boot, is missing");
	if (without_iommu && !files.fit.installed) {
		module_install_command(install, sizeof(install));
		cure(tool, "%s", install);
		return tool_fail(tool, -ENOENT, "--persist: flatiommu.ko is not installed");
	}
	return 0;
}

/* Cache of the file, because list checks each function; dropped when we change the file. */
static char *rules;
static bool rules_known;

static const char *read_rules(void)
{
	if (!rules_known)
		rules = file_text(PERSIST_RULES);
	rules_known = true;
	return rules ? rules : "";
}

static void forget_rules(void)
{
	free(rules);
	rules = NULL;
	rules_known = false;
}

/* Parses the next rule, and moves @line after it. */
static bool next_rule(const char **line, char *address, unsigned int *vendor, unsigned int *device)
{
	while (**line) {
		bool found = sscanf(*line, RULE_FOR, address, vendor, device) == 3;

		*line += strcspn(*line, "\n");
		if (**line)
			(*line)++;
		if (found)
			return true;
	}
	return false;
}

bool persistent_id(char *id, size_t size, const char *address)
{
	char other[PCI_ADDRESS_SIZE];
	const char *line = read_rules();
	unsigned int vendor, device;

	while (next_rule(&line, other, &vendor, &device))
		if (!strcmp(other, address)) {
			snprintf(id, size, "%04x:%04x", vendor, device);
			return true;
		}
	return false;
}

bool is_persistent(const char *address)
{
	char id[16], own[16];

	if (!persistent_id(id, sizeof(id), address))
		return false;
	snprintf(own, sizeof(own), "%04llx:%04llx",
		 file_number(0, PCI_DEVICES "/%s/vendor", address),
		 file_number(0, PCI_DEVICES "/%s/device", address));
	return !strcmp(id, own);
}

/* Reads address, vendor and device of each rule. */
static void read_kept(struct functions *functions)
{
	const char *line = read_rules();
	struct function *grown, f;

	memset(functions, 0, sizeof(*functions));
	memset(&f, 0, sizeof(f));
	while (next_rule(&line, f.address, &f.vendor, &f.device)) {
		grown = reallocarray(functions->function, functions->n + 1, sizeof(f));
		if (!grown)
			return;
		functions->function = grown;
		grown[functions->n++] = f;
	}
}

void persistent_read(struct names *addresses)
{
	struct functions kept;
	size_t i;

	read_kept(&kept);
	addresses->n = 0;
	addresses->name = calloc(kept.n + 1, sizeof(*addresses->name));
	for (i = 0; addresses->name && i < kept.n; i++)
		if ((addresses->name[addresses->n] = strdup(kept.function[i].address)))
			addresses->n++;
	functions_free(&kept);
}

static bool is_among(const struct functions *functions, const char *address)
{
	size_t i;

	for (i = 0; i < functions->n; i++)
		if (!strcmp(functions->function[i].address, address))
			return true;
	return false;
}

/* Finds the directory of this command, for a shell's PATH. */
static void find_own(char *directory, size_t size)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._-+";
	ssize_t n = readlink("/proc/self/exe", directory, size - 1);

	directory[n > 0 ? n : 0] = 0;
	directory[strspn(directory, plain)] = 0;
	if (strrchr(directory, '/'))
		*strrchr(directory, '/') = 0;
}

static void write_rule(FILE *file, const struct function *f)
{
	char directory[200];

	find_own(directory, sizeof(directory));
	fprintf(file, RULE, f->address, f->vendor, f->device, directory);
}

/* Writes the existing rules, except that of @without, and then those of @with. */
static int write_rules(struct tool *tool, struct json_object *changes, const struct functions *with,
		       const char *without)
{
	struct functions before;
	char *text = NULL;
	size_t i, size;
	FILE *file = open_memstream(&text, &size);
	int ret = 0;

	if (!file)
		return tool_fail(tool, -errno, "out of memory");
	read_kept(&before);
	fputs(MADE, file);
	for (i = 0; i < before.n; i++) {
		const struct function *f = &before.function[i];

		if (!is_among(with, f->address) && strcmp(f->address, without))
			write_rule(file, f);
	}
	for (i = 0; i < with->n; i++)
		write_rule(file, &with->function[i]);
	functions_free(&before);
	if (fclose(file))
		ret = tool_fail(tool, -errno, "out of memory");
	else if (strcmp(read_rules(), text))
		ret = etc_write(tool, changes, "/etc/udev/rules.d", PERSIST_RULES, text);
	forget_rules();
	free(text);
	return ret;
}

static int write_load(struct tool *tool, struct json_object *changes, bool without_iommu)
{
	const char *text = without_iommu ? MADE "flatiommu\nvfio-pci\n" : MADE "vfio-pci\n";
	char *before = file_text(LOAD);
	int ret = 0;

	if (!before || (strcmp(before, text) && without_iommu))
		ret = etc_write(tool, changes, "/etc/modules-load.d", LOAD, text);
	free(before);
	return ret;
}

int persist_add(struct tool *tool, struct json_object *changes, const struct functions *functions,
		bool without_iommu)
{
	int ret = 0;

	/* the rules last: without the other files they would do harm */
	if (without_iommu)
		ret = options_add(tool, changes, functions);
	if (!ret)
		ret = write_load(tool, changes, without_iommu);
	return ret ? ret : write_rules(tool, changes, functions, "");
}

int persist_remove(struct tool *tool, struct json_object *changes, const char *address)
{
	const struct functions none = { 0 };
	struct functions left;
	size_t others;
	char id[16];
	int ret;

	read_kept(&left);
	others = left.n - persistent_id(id, sizeof(id), address);
	functions_free(&left);
	ret = others ? options_drop(tool, changes, address) : options_remove(tool, changes);
	if (!ret && others)
		return write_rules(tool, changes, &none, address);
	if (!ret)
		ret = etc_remove(tool, changes, PERSIST_RULES);
	forget_rules();
	return ret ? ret : etc_remove(tool, changes, LOAD);
}
