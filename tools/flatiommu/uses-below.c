// SPDX-License-Identifier: MIT
/*
 * Uses of a function by what the kernel made of it: virtual functions, mediated and vDPA devices, a
 * PCI bus, consoles, keyboards.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

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

/*
 * Finds a program that has a virtual function open: bind waits for it, also with --force. Returns
 * whether there may be one.
 */
static bool find_open_vf(const struct look *look, unsigned int vfs)
{
	struct use use = { .kind = "vfs", .always = true };
	char address[PCI_ADDRESS_SIZE];
	struct json_object *array;
	struct function vf;
	char who[256] = "";
	bool sure = false, maybe = false;
	unsigned int i;

	for (i = 0; i < vfs && !sure; i++) {
		if (!function_vf(address, sizeof(address), look->function, i) ||
		    function_read(&vf, address) || (!is_of_vfio(&vf) && !vf.being_unbound))
			continue;
		array = processes_of(look->processes, &vf);
		sure = processes_are_sure(array) || vf.being_unbound;
		maybe |= sure || json_object_array_length(array);
		processes_text(who, sizeof(who), array);
		json_object_put(array);
	}
	if (!sure)
		return maybe || processes_miss_some(look->processes);
	use.what = address;
	if (*who)
		use_say(&use, "its virtual function %s is open by %s", address, who);
	else
		use_say(&use, "an unbind of its virtual function %s waits for a program", address);
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
	/* without a driver nothing is removed */
	open = *f->driver && find_open_vf(look, vfs);
	use_say(&use, "it has %u virtual function%s, which bind removes, and unbind does not make "
		"again",
		vfs, vfs == 1 ? "" : "s");
	/* the write would wait for that program, too */
	if (!open)
		use_cure(&use, "echo 0 >" PCI_DEVICES "/%s/sriov_numvfs", f->address);
	use_add(look, &use, NULL);
}

/* Has it a host bridge in it: pci10000:e0? */
static bool has_bus(const struct function *f)
{
	struct names names;
	bool has = false;
	size_t i;

	names_read(&names, PCI_DEVICES "/%s", f->address);
	for (i = 0; i < names.n; i++)
		has |= !strncmp(names.name[i], "pci", strlen("pci")) && strchr(names.name[i], ':');
	names_free(&names);
	return has;
}

/* Is it on a bus behind the function, at any depth? */
static bool is_behind(const struct function *f, const char *address)
{
	char path[PATH_MAX], real[PATH_MAX], part[40];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s", address);
	snprintf(part, sizeof(part), "/%s/pci", f->address);
	return realpath(path, real) && strstr(real, part);
}

/* Some functions are no bridges and have a bus all the same: Intel VMD has the NVMe disks on it. */
static void find_buses(const struct look *look)
{
	char first[PCI_ADDRESS_SIZE] = "";
	struct use use = { .kind = "bus", .what = first };
	struct function behind;
	struct names names;
	size_t i, n = 0;

	if (!has_bus(look->function))
		return;
	names_read(&names, PCI_DEVICES);
	for (i = 0; i < names.n; i++) {
		if (!is_behind(look->function, names.name[i]) ||
		    function_read(&behind, names.name[i]) || is_bridge(&behind))
			continue;
		if (!n++)
			memcpy(first, behind.address, sizeof(first));
	}
	names_free(&names);
	if (!n)
		return;
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

/* Is the device made of the function, or of a virtual function of it? */
static bool is_made_of(const struct look *look, const char *path)
{
	char above[PCI_ADDRESS_SIZE], pf[PCI_ADDRESS_SIZE];

	if (!function_above(above, sizeof(above), path))
		return false;
	return !strcmp(above, look->function->address) ||
	       (!link_name(pf, sizeof(pf), PCI_DEVICES "/%s/physfn", above) &&
		!strcmp(pf, look->function->address));
}

/* Has the program the device open, by its VFIO group or by a node of its own? */
static bool is_open(const struct opened *o, const char *path)
{
	char number[32], group[16], own[32], node[64], above[PATH_MAX], real[PATH_MAX];
	struct stat st;

	if (!node_stat(o, &st) || !S_ISCHR(st.st_mode) || !realpath(path, above))
		return false;
	snprintf(number, sizeof(number), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	if (!link_name(group, sizeof(group), "%s/iommu_group", path) &&
	    !file_read(own, sizeof(own), "/sys/class/vfio/%s/dev", group) && !strcmp(own, number))
		return true;
	snprintf(node, sizeof(node), "/sys/dev/char/%s", number);
	return realpath(node, real) && !strncmp(real, above, strlen(above)) &&
	       real[strlen(above)] == '/';
}

/* The end of a device that a program has open waits for the program. */
static void say_made(const struct look *look, const struct made *made, const char *name,
		     const char *path)
{
	struct use use = { .kind = made->kind, .what = name };
	char word[300];
	size_t i;

	for (i = 0; i < look->processes->n && !use.always; i++) {
		const struct opened *o = &look->processes->opened[i];

		use.always = is_open(o, path);
		if (!use.always)
			continue;
		use_say(&use, "the %s device %s, which is made of it, is open by %s[%d]", made->is,
			name, o->name, o->pid);
		use_cure(&use, "kill %d", o->pid);
	}
	if (!use.always) {
		use_say(&use, "the %s device %s is made of it, and bind removes that", made->is, name);
		shell_quote(word, sizeof(word), name);
		snprintf(use.cure, sizeof(use.cure), made->cure, word);
	}
	use_add(look, &use, NULL);
}

static void find_made(const struct look *look, const struct made *made)
{
	struct names names;
	char path[400];
	size_t i;

	names_read(&names, "%s", made->devices);
	for (i = 0; i < names.n; i++) {
		snprintf(path, sizeof(path), "%s/%.255s", made->devices, names.name[i]);
		if (is_made_of(look, path))
			say_made(look, made, names.name[i], path);
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

/* Is a driver of this kind bound to the text console? */
static bool shows_text(const char *kind)
{
	struct names names;
	char name[64];
	bool shows = false;
	size_t i;

	names_read(&names, VTCONSOLES);
	for (i = 0; i < names.n; i++)
		shows |= !file_read(name, sizeof(name), VTCONSOLES "/%s/name", names.name[i]) &&
			 strstr(name, kind) &&
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
		if (strncmp(names.name[i], "fb", 2) || !is_below(look, path) ||
		    !shows_text("frame buffer"))
			continue;
		use_say(&use, "%s may show the text console, which is gone from that screen then",
			names.name[i]);
		use_add(look, &use, NULL);
	}
	names_free(&names);
}

/* Without a frame buffer the console is in the memory of the card that the firmware has chosen. */
static void find_vga(const struct look *look)
{
	const struct function *f = look->function;
	struct use use = { .kind = "screen", .what = f->address, .noted = true };

	if (!file_number(0, PCI_DEVICES "/%s/boot_vga", f->address) || !shows_text("VGA"))
		return;
	use_say(&use, "it has the screen with the text console, which is gone then");
	use_add(look, &use, NULL);
}

/*
 * Finds a keyboard, as of a USB controller: only those have the handler sysrq. Lines of a device:
 * N: Name="...", S: Sysfs=..., H: Handlers=...
 */
static void find_keyboards(const struct look *look)
{
	char *text = file_text("/proc/bus/input/devices"), *line, *rest;
	char name[128] = "", path[PATH_MAX] = "";
	size_t len;

	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		struct use use = { .kind = "keyboard", .what = name, .noted = true };

		if (sscanf(line, "N: Name=\"%127[^\"]", name) == 1)
			continue;
		len = strlen("S: Sysfs=");
		if (!strncmp(line, "S: Sysfs=", len))
			snprintf(path, sizeof(path), "/sys%.4000s", line + len);
		if (strncmp(line, "H: Handlers=", strlen("H: Handlers=")) ||
		    !strstr(line, "sysrq ") || !is_below(look, path))
			continue;
		make_printable(name);
		use_say(&use, "the keyboard %s is behind it, and is gone then", name);
		use_add(look, &use, NULL);
	}
	free(text);
}

void look_below(const struct look *look)
{
	size_t i;

	find_consoles(look);
	find_screens(look);
	find_vga(look);
	find_keyboards(look);
	find_buses(look);
	for (i = 0; i < ARRAY_SIZE(makes); i++)
		find_made(look, &makes[i]);
	find_vfs(look);
}
