// SPDX-License-Identifier: MIT
#include "cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mountinfo.h"
#include "sysfs.h"

#define MOUNTS "/proc/self/mountinfo"

/* "No limit" is "max" in the second version, and almost 2^63 in the first one. */
#define NO_LIMIT (1ULL << 62)

static bool has_word(const char *words, const char *word, size_t len)
{
	const char *at;

	for (at = words; (at = strstr(at, word)); at++)
		if ((at == words || at[-1] == ',') && (at[len] == ',' || !at[len]))
			return true;
	return false;
}

/* Finds the path in /proc/PID/cgroup: "4:hugetlb,memory:/PATH" in version 1, "0::/PATH" in 2. */
static char *path_in(char *text, const char *controller, bool v1)
{
	char *line, *rest, *controllers, *path;

	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		controllers = strchr(line, ':');
		path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = 0;
		controllers++;
		if (v1 ? has_word(controllers, controller, strlen(controller)) :
			 !strncmp(line, "0:", 2) && !*controllers)
			return path;
	}
	return NULL;
}

static bool find_in(struct cgroup *c, const char *pid, const char *controller, bool v1)
{
	char *text = file_text("/proc/%s/cgroup", pid), *mounts = file_text(MOUNTS), *rest = mounts;
	char *path = text ? path_in(text, controller, v1) : NULL;
	struct mountinfo m;
	bool found = false;

	while (path && !found && mountinfo_next(&rest, &m)) {
		size_t root = strcmp(m.root, "/") ? strlen(m.root) : 0;

		if (strcmp(m.type, v1 ? "cgroup" : "cgroup2") || strncmp(path, m.root, root) ||
		    (v1 && !has_word(m.options, controller, strlen(controller))))
			continue;
		c->top = strlen(m.point);
		c->v1 = v1;
		c->huge = strstr(m.options, "memory_hugetlb_accounting");
		snprintf(c->dir, sizeof(c->dir), "%s%s", m.point,
			 strcmp(path + root, "/") ? path + root : "");
		found = true;
	}
	free(mounts);
	free(text);
	return found;
}

bool cgroup_find(struct cgroup *c, const char *pid, const char *controller)
{
	return find_in(c, pid, controller, true) || find_in(c, pid, controller, false);
}

static unsigned long long stat_of(const char *dir, const char *key)
{
	char *text = key ? file_text("%s/memory.stat", dir) : NULL, *line, *rest;
	unsigned long long value = 0;
	size_t len = key ? strlen(key) : 0;

	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest))
		if (!strncmp(line, key, len) && line[len] == ' ')
			value = strtoull(line + len, NULL, 10);
	free(text);
	return value;
}

unsigned long long cgroup_left(const struct cgroup *c, const char *limit, const char *use,
			       const char *slack, char *where, size_t size)
{
	unsigned long long left = ~0ULL, most, used, here;
	char dir[PATH_MAX];

	for (snprintf(dir, sizeof(dir), "%s", c->dir); strlen(dir) >= c->top; *strrchr(dir, '/') = 0) {
		most = file_number(~0ULL, "%s/%s", dir, limit);
		if (most < NO_LIMIT) {
			used = file_number(0, "%s/%s", dir, use);
			here = stat_of(dir, slack);
			used -= here < used ? here : used;
			here = most > used ? most - used : 0;
			if (here < left) {
				left = here;
				snprintf(where, size, "%s/%s", dir, limit);
			}
		}
	}
	return left;
}
