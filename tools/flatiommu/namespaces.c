// SPDX-License-Identifier: MIT
#include "namespaces.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sysfs.h"

/* Directory of "ip netns" for network namespaces, which may have no process. */
#define NAMED "/run/netns"

static bool is_same(const struct namespace *a, const struct namespace *b)
{
	return a->device == b->device && a->inode == b->inode;
}

static bool find(struct namespace *namespace, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return false;
	snprintf(namespace->path, sizeof(namespace->path), "%s", path);
	namespace->device = st.st_dev;
	namespace->inode = st.st_ino;
	return true;
}

static bool is_known(const struct namespaces *namespaces, const struct namespace *new)
{
	size_t i;

	for (i = 0; i < namespaces->n; i++)
		if (is_same(&namespaces->namespace[i], new))
			return true;
	return false;
}

static void add(struct namespaces *namespaces, const struct namespace *new)
{
	struct namespace *grown;

	grown = reallocarray(namespaces->namespace, namespaces->n + 1, sizeof(*grown));
	if (!grown)
		return;
	namespaces->namespace = grown;
	grown[namespaces->n++] = *new;
}

void namespaces_read(struct namespaces *namespaces, const char *kind)
{
	struct namespace own = { 0 }, new;
	struct names names;
	char path[300];
	size_t i;

	memset(namespaces, 0, sizeof(*namespaces));
	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	if (!find(&own, path))
		return;
	if (!strcmp(kind, "net"))
		names_read(&names, NAMED);
	else
		memset(&names, 0, sizeof(names));
	for (i = 0; i < names.n; i++) {
		memset(&new, 0, sizeof(new));
		snprintf(path, sizeof(path), NAMED "/%.256s", names.name[i]);
		if (!find(&new, path) || is_same(&new, &own) || is_known(namespaces, &new))
			continue;
		snprintf(new.label, sizeof(new.label), "%.256s", names.name[i]);
		add(namespaces, &new);
	}
	names_free(&names);
	names_read(&names, "/proc");
	for (i = 0; i < names.n; i++) {
		char comm[32];

		if (!isdigit((unsigned char)names.name[i][0]))
			continue;
		memset(&new, 0, sizeof(new));
		snprintf(path, sizeof(path), "/proc/%.20s/ns/%s", names.name[i], kind);
		if (!find(&new, path) || is_same(&new, &own) || is_known(namespaces, &new))
			continue;
		read_name(comm, sizeof(comm), atoi(names.name[i]));
		snprintf(new.label, sizeof(new.label), "%s[%.20s]", comm, names.name[i]);
		new.pid = atoi(names.name[i]);
		add(namespaces, &new);
	}
	names_free(&names);
}

void namespaces_free(struct namespaces *namespaces)
{
	free(namespaces->namespace);
	namespaces->namespace = NULL;
	namespaces->n = 0;
}
