// SPDX-License-Identifier: MIT
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etc.h"
#include "ko.h"
#include "sysfs.h"

#define MODPROBE "/etc/modprobe.d"
#define OPTIONS MODPROBE "/flatiommu-bind.conf"
#define DEVICES "options flatiommu devices="
/* The kernel accepts no longer parameter. */
#define DEVICES_MAX 1024

/* Reads devices= of our file: 0000:00:04.0/wc=2,0000:00:05.0/wc=0+2/hold, or "". */
static void devices_read(char *list, size_t size)
{
	char *text = file_text(OPTIONS), *found = text ? strstr(text, DEVICES) : NULL;

	found = found ? found + strlen(DEVICES) : "";
	snprintf(list, size, "%.*s", (int)strcspn(found, "\n"), found);
	free(text);
}

/* Finds an address in the list, but not as the end of another one, such as 10000:00:04.0. */
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

/* Adds a function, with the options that its claim has now. */
static int devices_add(struct tool *tool, char *list, size_t size, const char *address)
{
	struct json_object *o;
	struct function f;
	char options[64];
	size_t len;

	devices_drop(list, address);
	if (function_read(&f, address))
		return 0;
	o = json_object_new_object();
	flat_put_options(o, &f);
	options_of_claim(options, sizeof(options), o);
	json_object_put(o);
	if (!*options)
		return 0;
	len = strlen(list);
	if (len + strlen(",") + strlen(address) + strlen(options) >= size)
		return tool_fail(tool, -ENOSPC, "--persist: devices= in " OPTIONS " is full");
	snprintf(list + len, size - len, "%s%s%s", len ? "," : "", address, options);
	return 0;
}

/* Fails if another file has devices=: the kernel would use only one of them. */
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
			ret = tool_fail(tool, -EEXIST,
					"--persist: " MODPROBE "/%s has devices=, and --wc, --hold "
							       "and --fence must be added to it",
					names.name[i]);
		free(text);
	}
	names_free(&names);
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
	return etc_write(tool, changes, MODPROBE, OPTIONS, text);
}

int options_add(struct tool *tool, struct json_object *changes, const struct functions *functions)
{
	char devices[DEVICES_MAX];
	int ret = 0;
	size_t i;

	devices_read(devices, sizeof(devices));
	for (i = 0; !ret && i < functions->n; i++)
		ret = devices_add(tool, devices, sizeof(devices), functions->function[i].address);
	if (!ret && *devices)
		ret = check_devices(tool);
	return ret ? ret : write_options(tool, changes, devices);
}

int options_drop(struct tool *tool, struct json_object *changes, const char *address)
{
	char devices[DEVICES_MAX];

	devices_read(devices, sizeof(devices));
	if (!devices_find(devices, address))
		return 0;
	devices_drop(devices, address);
	return write_options(tool, changes, devices);
}

int options_remove(struct tool *tool, struct json_object *changes)
{
	return etc_remove(tool, changes, OPTIONS);
}
