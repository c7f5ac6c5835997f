// SPDX-License-Identifier: MIT
#include "cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sysfs.h"

/* Maximum of a path, because a thread may have a small stack. Longer ones count as unlimited. */
#define LENGTH 512

/* Finds a mount of cgroups of version 2: @root, a directory of the hierarchy, is at @point. */
static bool find_mount(char *root, char *point)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char line[4 * LENGTH];
	bool found = false;

	while (mounts && !found && fgets(line, sizeof(line), mounts))
		found = strstr(line, " - cgroup2 ") &&
			sscanf(line, "%*d %*d %*s %511s %511s", root, point) == 2;
	if (mounts)
		fclose(mounts);
	return found;
}

/* Finds the directory of the process's cgroup. *@mount is the length of its mount point. */
static bool find_cgroup(char *dir, size_t room, size_t *mount)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[LENGTH], root[LENGTH], point[LENGTH];
	const char *path = NULL;
	size_t skip;

	while (file && !path && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "0::", 3))
			path = line + 3;
	}
	if (file)
		fclose(file);
	if (!path || !find_mount(root, point))
		return false;
	skip = strcmp(root, "/") ? strlen(root) : 0;
	if (strncmp(path, root, skip))
		return false;
	*mount = strlen(point);
	return (size_t)snprintf(dir, room, "%s%s", point,
				strcmp(path + skip, "/") ? path + skip : "") < room;
}

static uint64_t read_bytes(const char *dir, const char *name, uint64_t otherwise)
{
	char path[LENGTH + 16], text[32], *end;
	uint64_t bytes;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (read_line(path, text, sizeof(text)))
		return otherwise;
	bytes = strtoull(text, &end, 10);
	return end == text ? otherwise : bytes;
}

/* Returns the bytes of the cgroup's page cache. The kernel frees it before it kills a process. */
static uint64_t file_bytes(const char *dir)
{
	char path[LENGTH + 16], line[128];
	unsigned long long bytes;
	uint64_t sum = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "inactive_file %llu", &bytes) == 1 ||
		    sscanf(line, "active_file %llu", &bytes) == 1)
			sum += bytes;
	if (file)
		fclose(file);
	return sum;
}

static uint64_t left_in(const char *dir, uint64_t wanted)
{
	uint64_t most = read_bytes(dir, "memory.max", UINT64_MAX), used;

	if (most == UINT64_MAX)
		return most;
	used = read_bytes(dir, "memory.current", 0);
	/* memory.stat is slow to read. */
	if (used > most || most - used < wanted) {
		uint64_t files = file_bytes(dir);

		used -= files < used ? files : used;
	}
	return used < most ? most - used : 0;
}

uint64_t cgroup_left(uint64_t wanted, char *where, size_t size)
{
	char dir[LENGTH];
	uint64_t left = UINT64_MAX;
	size_t mount;

	if (!find_cgroup(dir, sizeof(dir), &mount))
		return left;
	for (; strlen(dir) >= mount; *strrchr(dir, '/') = '\0') {
		uint64_t here = left_in(dir, wanted);

		if (here < left) {
			left = here;
			snprintf(where, size, "%s", dir);
		}
	}
	return left;
}
