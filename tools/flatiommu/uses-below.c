// SPDX-License-Identifier: MIT
/*
 * Uses of a function by what the kernel made of it: virtual functions, mediated and vDPA devices, a
 * PCI bus, consoles.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "output.h"
#include "sysfs.h"
#include "use.h"

#define VTCONSOLES "/sys/class/vtconsole"

/* " and 1 more" */
static void append_more(struct use *use, size_t n)
{
	size_t len = strlen(use->text);

	if (n)
		snprintf(use->text + len, sizeof(use->text) - len, " and %zu more", n);
}

/* Finds a program that has a virtual function open: bind waits for it, also with --force. */
static bool find_open_vf(const struct look *look, unsigned int vfs)
{
	struct use use = { .kind = "vfs", .always = true };
	char address[PCI_ADDRESS_SIZE], who[256] = "";
	struct function vf;
	unsigned int i;

	for (i = 0; i < vfs && !*who; i++) {
		struct json_object *array;

		if (!function_vf(address, sizeof(address), look->function, i) ||
		    function_read(&vf, address) || (!is_of_vfio(&vf) && !vf.being_unbound))
			continue;
		array = processes_of(look->processes, &vf);
		if (processes_are_sure(array))
			processes_text(who, sizeof(who), array);
		json_object_put(array);
	}
	if (!*who)
		return false;
	use.what = address;
	use_say(&use, "its virtual function %s is open by %s", address, who);
	use_add(look, &use, NULL);
	return true;
}

static void find_vfs(const struct look *look)
{
	const struct function *f = look->function;
	struct use use = { .kind = "vfs", .what = f->address };
	unsigned int vfs = nr_vfs(f);
	bool open;

	if (!vfs)
		return;
	open = find_open_vf(look, vfs);
	use_say(&use, "it has %u virtual function%s, which bind removes, and unbind does not make "
		"again",
		vfs, vfs == 1 ? "" : "s");
	/* the write would wait for that program, too */
	if (!open)
		use_cure(&use, "echo 0 >" PCI_DEVICES "/%s/sriov_numvfs", f->address);
	use_add(look, &use, NULL);
}

/* Some functions are no bridges and have a bus all the same: Intel VMD has the NVMe disks on it. */
static void find_buses(const struct look *look)
{
	char first[PCI_ADDRESS_SIZE] = "", address[PCI_ADDRESS_SIZE], path[160];
	struct use use = { .kind = "bus" };
	struct names entries, functions;
	size_t i, j, n = 0;

	names_read(&entries, PCI_DEVICES "/%s", look->function->address);
	for (i = 0; i < entries.n; i++) {
		if (strncmp(entries.name[i], "pci", strlen("pci")) ||
		    !strchr(entries.name[i], ':'))
			continue;
		snprintf(path, sizeof(path), PCI_DEVICES "/%s/%.100s", look->function->address,
			 entries.name[i]);
		names_read(&functions, "%s", path);
		for (j = 0; j < functions.n; j++)
			if (address_parse(address, sizeof(address), functions.name[j]) && !n++)
				memcpy(first, address, sizeof(first));
		names_free(&functions);
	}
	names_free(&entries);
	if (!n)
		return;
	use.what = first;
	use_say(&use, "it is the way to a PCI bus, which bind removes, with %s", first);
	append_more(&use, n - 1);
	use_cure(&use, "flatiommu doctor %s", first);
	use_add(look, &use, NULL);
}

static const struct made {
	const char *kind;
	const char *devices;
	const char *is;
	const char *cure;
} makes[] = {
	{ "mdev", "/sys/bus/mdev/devices", "mediated", "echo 1 >/sys/bus/mdev/devices/%s/remove" },
	{ "vdpa", "/sys/bus/vdpa/devices", "vDPA", "vdpa dev del %s" },
};

static void find_made(const struct look *look, const struct made *made)
{
	struct names names;
	char path[400];
	size_t i;

	names_read(&names, "%s", made->devices);
	for (i = 0; i < names.n; i++) {
		struct use use = { .kind = made->kind, .what = names.name[i] };

		snprintf(path, sizeof(path), "%s/%.255s", made->devices, names.name[i]);
		if (!is_below(look, path))
			continue;
		use_say(&use, "the %s device %s is made of it, and bind removes that", made->is,
			names.name[i]);
		snprintf(use.cure, sizeof(use.cure), made->cure, names.name[i]);
		use_add(look, &use, NULL);
	}
	names_free(&names);
}

/* A console of a virtio function, hvc0, is not below it in sysfs. */
static bool has_virtio_console(const struct look *look)
{
	struct names names;
	bool has = false;
	char driver[64];
	size_t i;

	names_read(&names, PCI_DEVICES "/%s", look->function->address);
	for (i = 0; i < names.n && !has; i++)
		has = !strncmp(names.name[i], "virtio", strlen("virtio")) &&
		      !link_name(driver, sizeof(driver), PCI_DEVICES "/%s/%s/driver",
				 look->function->address, names.name[i]) &&
		      !strcmp(driver, "virtio_console");
	names_free(&names);
	return has;
}

static void find_consoles(const struct look *look)
{
	char *text = file_text("/proc/consoles"), *line, *rest;

	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char path[64], name[32], *number = strrchr(line, ' ');
		struct use use = { .kind = "console", .what = name };

		if (!number || sscanf(line, "%31s", name) != 1)
			continue;
		snprintf(path, sizeof(path), "/sys/dev/char/%.32s", number + 1);
		if (is_below(look, path))
			use_say(&use, "%s is the kernel's console", name);
		else if (!strncmp(name, "hvc", strlen("hvc")) && has_virtio_console(look))
			use_say(&use, "it has %s, or a console like it, and %s is the kernel's console",
				name, name);
		else
			continue;
		use_add(look, &use, NULL);
	}
	free(text);
}

static bool shows_text(void)
{
	struct names names;
	char name[64];
	bool shows = false;
	size_t i;

	names_read(&names, VTCONSOLES);
	for (i = 0; i < names.n; i++)
		shows |= !file_read(name, sizeof(name), VTCONSOLES "/%s/name", names.name[i]) &&
			 strstr(name, "frame buffer") &&
			 file_number(0, VTCONSOLES "/%s/bind", names.name[i]);
	names_free(&names);
	return shows;
}

static void find_screens(const struct look *look)
{
	struct names names;
	char path[300];
	size_t i;

	names_read(&names, "/sys/class/graphics");
	for (i = 0; i < names.n; i++) {
		struct use use = { .kind = "screen", .what = names.name[i], .noted = true };

		snprintf(path, sizeof(path), "/sys/class/graphics/%.250s", names.name[i]);
		if (strncmp(names.name[i], "fb", 2) || !is_below(look, path) || !shows_text())
			continue;
		use_say(&use, "%s shows the text console: the screen stays as it is then",
			names.name[i]);
		use_add(look, &use, NULL);
	}
	names_free(&names);
}

void look_below(const struct look *look)
{
	size_t i;

	find_consoles(look);
	find_screens(look);
	find_buses(look);
	for (i = 0; i < ARRAY_SIZE(makes); i++)
		find_made(look, &makes[i]);
	find_vfs(look);
}
