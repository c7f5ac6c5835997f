// SPDX-License-Identifier: MIT
/*
 * Is a file system of the host mounted through a function? The mount names a tag, and the function
 * has it. The removal of a 9p function waits until it is not mounted any more.
 */
#include <stdio.h>
#include <string.h>

#include "mounted.h"
#include "sysfs.h"
#include "use.h"

/*
 * Is the mount of the virtio device? Up to Linux 6.8 a virtiofs device does not tell its tag, so
 * any mount of virtiofs may be.
 */
static bool is_of(const struct mount *mount, const char *driver, const char *device)
{
	char tag[128] = "", path[128];
	struct names names;
	bool found = false;
	size_t i;

	if (mount->is_9p)
		return !strcmp(driver, "9pnet_virtio") &&
		       !file_read(tag, sizeof(tag), "/sys/bus/virtio/devices/%s/mount_tag", device) &&
		       !strcmp(tag, mount->tag);
	if (strcmp(driver, "virtiofs") && strcmp(driver, "virtio_fs"))
		return false;
	if (names_read(&names, "/sys/fs/virtiofs") || !names.n)
		found = true;
	for (i = 0; i < names.n && !found; i++)
		found = !link_name(path, sizeof(path), "/sys/fs/virtiofs/%s/device", names.name[i]) &&
			!strcmp(path, device) &&
			!file_read(tag, sizeof(tag), "/sys/fs/virtiofs/%s/tag", names.name[i]) &&
			!strcmp(tag, mount->tag);
	names_free(&names);
	return found;
}

static void look_at_device(const struct look *look, const struct mounts *mounts, const char *device)
{
	const char *said = "";
	char driver[64];
	size_t i;

	if (link_name(driver, sizeof(driver), "/sys/bus/virtio/devices/%s/driver", device))
		return;
	for (i = 0; i < mounts->n; i++) {
		const struct mount *m = &mounts->mount[i];
		struct use use = { .kind = "mount", .what = m->tag };
		char where[512];

		/* one mount of another namespace is enough, as there may be many copies */
		if (!m->tag || !is_of(m, driver, device) || (m->pid && !strcmp(m->tag, said)))
			continue;
		said = m->tag;
		shell_quote(where, sizeof(where), m->where);
		use_say(&use, "%s, a file system of the host, is mounted at %s%s%s", m->tag, m->where,
			m->pid ? " in " : "", m->pid ? m->label : "");
		if (m->pid)
			use_cure(&use, "nsenter -t %d -m umount %s", m->pid, where);
		else
			use_cure(&use, "umount %s", where);
		use_add(look, &use, NULL);
	}
}

void look_at_shares(const struct look *look)
{
	struct mounts mounts;
	struct names names;
	size_t i;

	names_read(&names, PCI_DEVICES "/%s", look->function->address);
	mounts_read(&mounts);
	for (i = 0; i < names.n; i++)
		if (!strncmp(names.name[i], "virtio", strlen("virtio")))
			look_at_device(look, &mounts, names.name[i]);
	mounts_free(&mounts);
	names_free(&names);
}
