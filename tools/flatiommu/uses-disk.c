// SPDX-License-Identifier: MIT
/* Uses of a function's disks, and of all devices that are made of them. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blocks.h"
#include "contents.h"
#include "mounted.h"
#include "output.h"
#include "sysfs.h"
#include "use.h"

/* Uses of one layer. */
struct place {
	const struct look *look;
	const struct layers *layers;
	const struct mounts *mounts;
	size_t i;
};

static const struct layer *layer(const struct place *place)
{
	return &place->layers->layer[place->i];
}

static void found(const struct place *place, struct use *use, const char *last)
{
	use->what = layer(place)->name;
	use_add(place->look, use, layers_chain(place->layers, place->i, last));
}

static void say_mount(const struct place *place, const struct mount *mount)
{
	struct use use = { .kind = "mount" };
	char where[PATH_MAX];

	shell_quote(where, sizeof(where), mount->where);
	if (mount->pid) {
		use_say(&use, "%s is mounted at %s in the mount namespace of %s",
			layer(place)->label, mount->where, mount->label);
		use_cure(&use, "nsenter -t %d -m umount %s", mount->pid, where);
	} else {
		use_say(&use, "%s is mounted at %s", layer(place)->label, mount->where);
		use_cure(&use, "umount %s", where);
	}
	found(place, &use, mount->where);
}

/*
 * Adds mounts of a device in our namespace. Only if there is none, adds those of another namespace,
 * because other namespaces have copies of most mounts.
 */
static bool find_mounts(const struct place *place, dev_t number)
{
	const struct mounts *mounts = place->mounts;
	bool any = false;
	size_t i;

	for (i = 0; i < mounts->n; i++) {
		if (!mount_is_of(&mounts->mount[i], number))
			continue;
		if (any && mounts->mount[i].pid)
			break;
		say_mount(place, &mounts->mount[i]);
		any = true;
	}
	return any;
}

/* A btrfs of several devices is mounted by one of them: looks for mounts of the others. */
static void find_btrfs(const struct place *place)
{
	char pattern[256], node[PATH_MAX], *directory;
	struct names siblings;
	glob_t globbed;
	bool any = false;
	size_t i, j;

	snprintf(pattern, sizeof(pattern), "/sys/fs/btrfs/*/devices/%s", layer(place)->name);
	if (glob(pattern, 0, NULL, &globbed))
		return;
	for (i = 0; i < globbed.gl_pathc; i++) {
		directory = globbed.gl_pathv[i];
		*strrchr(directory, '/') = 0;
		names_read(&siblings, "%s", directory);
		for (j = 0; j < siblings.n && !any; j++) {
			snprintf(node, sizeof(node), "/dev/%s", siblings.name[j]);
			any = find_mounts(place, block_number(node));
		}
		names_free(&siblings);
	}
	globfree(&globbed);
}

static void find_journals(const struct place *place)
{
	static const char *const options[] = { "logdev=", "rtdev=" };
	struct use use = { .kind = "journal" };
	size_t i, j;

	/* if the journal is a file, the inode's number follows */
	if (file_exists("/proc/fs/jbd2/%s", layer(place)->name)) {
		use_say(&use, "%s is the journal of a mounted file system", layer(place)->label);
		found(place, &use, NULL);
	}
	for (i = 0; i < place->mounts->n; i++) {
		const struct mount *m = &place->mounts->mount[i];

		for (j = 0; j < ARRAY_SIZE(options); j++) {
			const char *at = strstr(m->options, options[j]);
			char node[PATH_MAX];

			if (!at)
				continue;
			at += strlen(options[j]);
			snprintf(node, sizeof(node), "%.*s", (int)strcspn(at, ","), at);
			if (!layer(place)->number || block_number(node) != layer(place)->number)
				continue;
			use_say(&use, "%s belongs to what is mounted at %s", layer(place)->label,
				m->where);
			found(place, &use, m->where);
		}
	}
}

/* Adds swap on partitions, and in files of mounted file systems: swapoff must be before umount. */
static void find_swap(const struct place *place)
{
	char *text = file_text("/proc/swaps"), *line, *rest, word[PATH_MAX];
	dev_t number = layer(place)->number;

	/* the first line has no path */
	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		struct use use = { .kind = "swap" };
		struct stat st;

		line[strcspn(line, " \t")] = 0;
		octal_unescape(line);
		if (!number || *line != '/' || stat(line, &st))
			continue;
		if (S_ISBLK(st.st_mode) && st.st_rdev == number)
			use_say(&use, "%s is swapped to", layer(place)->label);
		else if (S_ISREG(st.st_mode) && st.st_dev == number)
			use_say(&use, "%s has %s, which is swapped to", layer(place)->label, line);
		else
			continue;
		shell_quote(word, sizeof(word), line);
		use_cure(&use, "swapoff %s", word);
		found(place, &use, S_ISREG(st.st_mode) ? line : "swap");
	}
	free(text);
}

static const struct export {
	const char *name;
	const char *pattern;
} exports[] = {
	{ "NVMe target", "/sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path" },
	{ "NVMe target", "/sys/kernel/config/nvmet/subsystems/*/passthru/device_path" },
	{ "SCSI target", "/sys/kernel/config/target/core/*/*/udev_path" },
	{ "USB gadget", "/sys/kernel/config/usb_gadget/*/functions/*/lun.*/file" },
};

/* Is it the node, a file on a mount of it, or the controller of the function's NVMe disks? */
static bool is_exported(const struct place *place, const char *path)
{
	char controller[64];
	struct stat st;

	if (*path != '/' || stat(path, &st))
		return false;
	if (S_ISBLK(st.st_mode))
		return st.st_rdev == layer(place)->number;
	if (S_ISREG(st.st_mode))
		return st.st_dev == layer(place)->number;
	snprintf(controller, sizeof(controller), "/sys/dev/char/%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	return S_ISCHR(st.st_mode) && !place->i && is_below(place->look, controller);
}

static void find_exports(const struct place *place, const struct export *export)
{
	char path[PATH_MAX], *directory;
	struct use use = { .kind = "export" };
	glob_t globbed;
	size_t i;

	if (glob(export->pattern, 0, NULL, &globbed))
		return;
	for (i = 0; i < globbed.gl_pathc; i++) {
		directory = globbed.gl_pathv[i];
		file_read(path, sizeof(path), "%s", directory);
		*strrchr(directory, '/') = 0;
		if (!file_number(1, "%s/enable", directory) || !is_exported(place, path))
			continue;
		use_say(&use, "%s is exported by the kernel's %s, in %s", layer(place)->label,
			export->name, directory);
		use.cure[0] = 0;
		if (!strcmp(export->name, "NVMe target"))
			use_cure(&use, "echo 0 >%s/enable", directory);
		found(place, &use, export->name);
	}
	globfree(&globbed);
}

/* udev reads a disk that was written to, and closes it in a moment. An unbind loses nothing. */
static bool is_udev(const char *name)
{
	return !strcmp(name, "(udev-worker)") || !strcmp(name, "systemd-udevd") ||
	       !strcmp(name, "udevd");
}

static void find_openers(const struct place *place)
{
	const struct processes *processes = place->look->processes;
	size_t i;

	for (i = 0; i < processes->n; i++) {
		const struct opened *o = &processes->opened[i];
		struct use use = { .kind = "open" };
		char name[64];
		struct stat st;

		if (!layer(place)->number || is_udev(o->name) || !node_stat(o, &st) ||
		    !S_ISBLK(st.st_mode) || st.st_rdev != layer(place)->number)
			continue;
		snprintf(name, sizeof(name), "%s[%d]", o->name, o->pid);
		use_say(&use, "%s is open by %s", layer(place)->label, name);
		use_cure(&use, "kill %d", o->pid);
		found(place, &use, name);
	}
}

/* The existence of a layer is a use of the layer below it. */
static void find_membership(const struct place *place)
{
	const struct layer *above = layer(place), *below;
	struct place member = *place;
	struct use use = { .kind = "member" };

	if (above->below == BOTTOM || file_exists("/sys/class/block/%s/partition", above->name))
		return;
	member.i = above->below;
	below = layer(&member);
	use_say(&use, file_exists("/sys/class/block/%s/loop", above->name) ?
		"%s is below the loop device %s" : "%s is a member of %s", below->label,
		above->label);
	block_cure(use.cure, sizeof(use.cure), above->name);
	found(&member, &use, above->label);
}

/* Opens a disk read-only: after the close of a writer, udev would open it. */
static int open_disk(const char *disk, int flags)
{
	char node[PATH_MAX], *bang;

	snprintf(node, sizeof(node), "/dev/%s", disk);
	/* cciss/c0d0 is cciss!c0d0 in sysfs */
	while ((bang = strchr(node, '!')))
		*bang = '/';
	return open(node, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
}

/* Finds holders that are not known by name, such as ZFS. */
static void find_held(const struct place *place)
{
	struct use use = { .kind = "held" };
	int fd = open_disk(layer(place)->name, O_EXCL);

	if (fd >= 0) {
		close(fd);
		return;
	}
	if (errno != EBUSY)
		return;
	use_say(&use, "%s is in use by the kernel", layer(place)->label);
	found(place, &use, NULL);
}

static bool is_used(const struct look *look, const char *label)
{
	size_t i;

	for (i = 0; i < json_object_array_length(look->uses); i++) {
		struct json_object *use = json_object_array_get_idx(look->uses, i);
		struct json_object *first = json_object_array_get_idx(get(use, "chain"), 0);

		if (!strcmp(json_object_get_string(first), label))
			return true;
	}
	return false;
}

/* Adds contents of disks that nothing uses now. */
static void find_contents(const struct look *look, const struct layers *layers)
{
	struct use data = { .kind = "data", .noted = true };
	struct contents contents;
	char all[1024] = "";
	size_t i, len = 0;

	for (i = 0; i < layers->n && layers->layer[i].below == BOTTOM; i++) {
		struct place place = { look, layers, NULL, i };
		struct use use = { .kind = "member" };
		int fd = is_used(look, layers->layer[i].label) ? -1 :
			 open_disk(layers->layer[i].name, 0);

		if (fd < 0)
			continue;
		contents_read(&contents, fd);
		close(fd);
		if (*contents.member) {
			use_say(&use, "%s is a member of an %s volume or array",
				layers->layer[i].label, contents.member);
			found(&place, &use, NULL);
		} else if (*contents.what && len < sizeof(all)) {
			len += snprintf(all + len, sizeof(all) - len, "%s%s has %s",
					len ? ", " : "", layers->layer[i].label, contents.what);
			data.what = data.what ? data.what : layers->layer[i].name;
		}
	}
	if (!len)
		return;
	use_say(&data, "%s: a program that has the disk may overwrite it", all);
	use_add(look, &data, NULL);
}

void look_at_disks(const struct look *look)
{
	struct layers layers = { 0 };
	struct mounts mounts;
	struct place place = { look, &layers, &mounts, 0 };
	size_t i;

	mounts_read(&mounts);
	block_layers(&layers, look->function->address, &mounts);
	/* from the top: that must be undone first */
	for (place.i = layers.n; place.i-- > 0;) {
		find_swap(&place);
		for (i = 0; i < ARRAY_SIZE(exports); i++)
			find_exports(&place, &exports[i]);
		if (!find_mounts(&place, layer(&place)->number))
			find_btrfs(&place);
		find_journals(&place);
		find_openers(&place);
		find_membership(&place);
	}
	/* only if nothing was found: a disk with one of the uses above cannot be opened either */
	for (place.i = 0; place.i < layers.n && !json_object_array_length(look->uses); place.i++)
		find_held(&place);
	find_contents(look, &layers);
	layers_free(&layers);
	mounts_free(&mounts);
}
