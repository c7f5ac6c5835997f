// SPDX-License-Identifier: MIT
#include "mounted.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

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

static void add(struct mounts *mounts, const struct mount *new, const char *where,
		const char *options)
{
	struct mount *grown;

	grown = reallocarray(mounts->mount, mounts->n + 1, sizeof(*grown));
	if (!grown)
		return;
	mounts->mount = grown;
	grown += mounts->n;
	*grown = *new;
	grown->where = strdup(where);
	grown->options = strdup(options);
	if (grown->where && grown->options) {
		mounts->n++;
		return;
	}
	free(grown->where);
	free(grown->options);
}

static void read_one(struct mounts *mounts, int pid, const char *label)
{
	char *text, *line, *rest;

	text = pid ? file_text("/proc/%d/mountinfo", pid) : file_text("/proc/self/mountinfo");
	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char where[PATH_MAX], source[PATH_MAX] = "", options[4096] = "";
		char *dash = strstr(line, " - ");
		struct mount new = { .pid = pid };
		unsigned int major, minor;

		if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &major, &minor, where) != 3 || !dash)
			continue;
		sscanf(dash, " - %*s %4095s %4095s", source, options);
		octal_unescape(source);
		octal_unescape(where);
		new.number = makedev(major, minor);
		new.source = block_number(source);
		snprintf(new.label, sizeof(new.label), "%s", label);
		if (major || new.source)
			add(mounts, &new, where, options);
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

	for (i = 0; i < mounts->n; i++) {
		free(mounts->mount[i].where);
		free(mounts->mount[i].options);
	}
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
