// SPDX-License-Identifier: MIT
#include "contents.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sysfs.h"

/* Finds the signature of a member of a volume or an array, which cannot be assembled without it. */
static const char *member(int fd)
{
	unsigned char block[4096 + 512];
	ssize_t n = pread(fd, block, sizeof(block), 0);
	size_t sector;

	for (sector = 0; sector < 4 && n >= (ssize_t)(sector + 1) * 512; sector++)
		if (!memcmp(block + sector * 512, "LABELONE", 8))
			return "LVM";
	/* MD's version 1.1 is at the start, 1.2 after 4 KiB */
	for (sector = 0; sector <= 8 && n >= (ssize_t)(sector + 1) * 512; sector += 8)
		if (!memcmp(block + sector * 512, "\xfc\x4e\x2b\xa9", 4))
			return "MD";
	return "";
}

/* The functions of libblkid that are used. */
struct blkid {
	void *(*new_probe)(void);
	void (*free_probe)(void *probe);
	int (*set_device)(void *probe, int fd, long long offset, long long size);
	int (*enable_partitions)(void *probe, int enable);
	int (*set_superblocks_flags)(void *probe, int flags);
	int (*do_safeprobe)(void *probe);
	int (*lookup_value)(void *probe, const char *name, const char **data, size_t *len);
};

/* From blkid.h: the properties to read of each file system. */
#define SUBLKS_LABEL (1 << 1)
#define SUBLKS_TYPE (1 << 5)
#define SUBLKS_USAGE (1 << 7)

static bool blkid_load(struct blkid *blkid)
{
	void *library = dlopen("libblkid.so.1", RTLD_NOW);

	if (!library)
		return false;
	/* POSIX's way to get a function's address from dlsym() */
	*(void **)&blkid->new_probe = dlsym(library, "blkid_new_probe");
	*(void **)&blkid->free_probe = dlsym(library, "blkid_free_probe");
	*(void **)&blkid->set_device = dlsym(library, "blkid_probe_set_device");
	*(void **)&blkid->enable_partitions = dlsym(library, "blkid_probe_enable_partitions");
	*(void **)&blkid->set_superblocks_flags =
		dlsym(library, "blkid_probe_set_superblocks_flags");
	*(void **)&blkid->do_safeprobe = dlsym(library, "blkid_do_safeprobe");
	*(void **)&blkid->lookup_value = dlsym(library, "blkid_probe_lookup_value");
	return blkid->new_probe && blkid->free_probe && blkid->set_device &&
	       blkid->enable_partitions && blkid->set_superblocks_flags && blkid->do_safeprobe &&
	       blkid->lookup_value;
}

static const char *value(const struct blkid *blkid, void *probe, const char *name)
{
	const char *data = NULL;

	return blkid->lookup_value(probe, name, &data, NULL) || !data ? "" : data;
}

static void probe_contents(struct contents *contents, const struct blkid *blkid, void *probe,
			   int fd)
{
	const char *type, *label;
	int ret;

	if (blkid->set_device(probe, fd, 0, 0) || blkid->enable_partitions(probe, 1) ||
	    blkid->set_superblocks_flags(probe, SUBLKS_LABEL | SUBLKS_TYPE | SUBLKS_USAGE))
		return;
	ret = blkid->do_safeprobe(probe);
	if (ret == -2)
		snprintf(contents->what, sizeof(contents->what), "data of more than one kind");
	if (ret)
		return;
	type = value(blkid, probe, "TYPE");
	label = value(blkid, probe, "LABEL");
	if (!strcmp(value(blkid, probe, "USAGE"), "raid"))
		snprintf(contents->member, sizeof(contents->member), "%s",
			 !strcmp(type, "LVM2_member") ? "LVM" :
			 !strcmp(type, "linux_raid_member") ? "MD" : type);
	else if (*type)
		snprintf(contents->what, sizeof(contents->what), "%.32s%s%.64s", type,
			 *label ? " " : "", label);
	else if (*value(blkid, probe, "PTTYPE"))
		snprintf(contents->what, sizeof(contents->what), "a partition table");
	make_printable(contents->what);
}

void contents_read(struct contents *contents, int fd)
{
	struct blkid blkid = { 0 };
	void *probe;

	memset(contents, 0, sizeof(*contents));
	if (blkid_load(&blkid)) {
		probe = blkid.new_probe();
		if (probe)
			probe_contents(contents, &blkid, probe, fd);
		blkid.free_probe(probe);
	}
	if (!*contents->member)
		snprintf(contents->member, sizeof(contents->member), "%s", member(fd));
}
