// SPDX-License-Identifier: MIT
#include "mounted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "mountinfo.h"
#include "namespaces.h"
#include "sysfs.h"

/* Calls stat() only in /dev: another path may be on a server that does not answer. */
dev_t block_number(const char *node)
{
	struct stat st;

	if (strncmp(node, "/dev/", 5) || stat(node, &st) || !S_ISBLK(st.st_mode))
		return 0;
	return st.st_rdev;
}

static void drop(struct mount *mount)
{
	free(mount->tag);
	free(mount->where);
	free(mount->options);
}

static bool is_9p(const struct mountinfo *m)
{
	return !strcmp(m->type, "9p");
}

static bool has_tag(const struct mountinfo *m)
{
	return is_9p(m) || !strcmp(m->type, "virtiofs");
}

static void add(struct mounts *mounts, const struct mount *new, const struct mountinfo *m)
{
	struct mount *grown;

	grown = reallocarray(mounts->mount, mounts->n + 1, sizeof(*grown));
	if (!grown)
		return;
	mounts->mount = grown;
	grown += mounts->n;
	*grown = *new;
	grown->tag = has_tag(m) ? strdup(m->source) : NULL;
	grown->is_9p = is_9p(m);
	grown->where = strdup(m->point);
	grown->options = strdup(m->options);
	if (grown->where && grown->options && (grown->tag || !has_tag(m)))
		mounts->n++;
	else
		drop(grown);
}

static void read_one(struct mounts *mounts, int pid, const char *label)
{
	struct mountinfo m;
	char *text, *rest;

	text = pid ? file_text("/proc/%d/mountinfo", pid) : file_text("/proc/self/mountinfo");
	rest = text;
	while (mountinfo_next(&rest, &m)) {
		struct mount new = { .pid = pid, .source = block_number(m.source) };
		unsigned int major, minor;

		if (sscanf(m.number, "%u:%u", &major, &minor) != 2)
			continue;
		new.number = makedev(major, minor);
		snprintf(new.label, sizeof(new.label), "%s", label);
		if (major || new.source || has_tag(&m))
			add(mounts, &new, &m);
	}
	free(text);
}

void mounts_read(struct mounts *mounts)
{
	struct namespaces others;
	size_t i;

	memset(mounts, 0, sizeof(*mounts));
	read_one(mounts, 0, "");
	namespaces_read(&others, "mnt");
	for (i = 0; i < others.n; i++)
		read_one(mounts, others.namespace[i].pid, others.namespace[i].label);
	namespaces_free(&others);
}

void mounts_free(struct mounts *mounts)
{
	size_t i;

	for (i = 0; i < mounts->n; i++)
		drop(&mounts->mount[i]);
	free(mounts->mount);
	mounts->mount = NULL;
	mounts->n = 0;
}

bool mount_is_of(const struct mount *mount, dev_t number)
{
	return number && (mount->number == number || mount->source == number);
}

dev_t mounts_device(const struct mounts *mounts, const char *path)
{
	dev_t device = 0;
	size_t i, len, longest = 0;

	for (i = 0; i < mounts->n && !mounts->mount[i].pid; i++) {
		const struct mount *m = &mounts->mount[i];

		len = strlen(m->where);
		if (len < longest || strncmp(path, m->where, len) ||
		    (len > 1 && path[len] && path[len] != '/'))
			continue;
		longest = len;
		device = m->source ? m->source : m->number;
	}
	return device;
}
