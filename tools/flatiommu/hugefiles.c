// SPDX-License-Identifier: MIT
#include "hugefiles.h"

#include <ctype.h>
#include <fnmatch.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sysfs.h"

/* Returns a process's huge pages by its status, because reading that needs no mmap lock. */
static unsigned long long huge_kib(const char *pid)
{
	char *status = file_text("/proc/%s/status", pid), *line;
	unsigned long long kib = 0;

	line = status ? strstr(status, "\nHugetlbPages:") : NULL;
	if (line)
		kib = strtoull(line + strlen("\nHugetlbPages:"), NULL, 10);
	free(status);
	return kib;
}

void hugeusers_read(struct hugeusers *users)
{
	struct names all;
	size_t i, len = 0;

	memset(users, 0, sizeof(*users));
	names_read(&all, "/proc");
	users->pids = calloc(all.n + 1, sizeof(*users->pids));
	for (i = 0; i < all.n && users->pids; i++) {
		char name[32];

		if (!isdigit((unsigned char)all.name[i][0]) || !huge_kib(all.name[i]))
			continue;
		read_name(name, sizeof(name), atoi(all.name[i]));
		users->pids[users->n++] = atoi(all.name[i]);
		if (len < sizeof(users->text))
			len += snprintf(users->text + len, sizeof(users->text) - len, "%s%s[%s]",
					len ? ", " : "", name, all.name[i]);
	}
	names_free(&all);
}

void hugeusers_free(struct hugeusers *users)
{
	free(users->pids);
}

unsigned long long hugetlbfs_page_size(const struct mountinfo *m)
{
	const char *value = strcmp(m->type, "hugetlbfs") ? NULL : mountinfo_option(m, "pagesize");
	unsigned long long size;
	char *unit;

	if (!value)
		return 0;
	size = strtoull(value, &unit, 10);
	return size << (*unit == 'K' ? 10 : *unit == 'M' ? 20 : *unit == 'G' ? 30 : 0);
}

/**
 * struct file - a file with huge pages
 * @pages:	number of pages
 * @used:	a program has it mapped
 */
struct file {
	char *path;
	dev_t dev;
	ino_t ino;
	unsigned long long pages;
	bool used;
};

struct files {
	struct file *file;
	size_t n;
};

static int by_inode(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static void add(struct files *files, const char *path, const struct stat *st,
		unsigned long long size)
{
	struct file *f = reallocarray(files->file, files->n + 1, sizeof(*f));
	char *copy = strdup(path);

	if (f)
		files->file = f;
	if (!f || !copy) {
		free(copy);
		return;
	}
	files->file[files->n++] = (struct file){
		.path = copy,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.pages = (unsigned long long)st->st_blocks * 512 / size,
	};
}

static void find_below(struct files *files, char *path, unsigned long long size)
{
	char *paths[] = { path, NULL };
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
	FTSENT *entry;

	while (tree && (entry = fts_read(tree)))
		if (entry->fts_info == FTS_F && entry->fts_statp->st_blocks)
			add(files, entry->fts_path, entry->fts_statp, size);
	if (tree)
		fts_close(tree);
}

/* Finds the files of each mounted hugetlbfs, once even if it is mounted more than once. */
static void find(struct files *files, const char *pid, unsigned long long size)
{
	char *text = file_text("/proc/%s/mountinfo", pid), *rest = text, path[PATH_MAX];
	bool self = !strcmp(pid, "self");
	dev_t seen[32];
	size_t n = 0, i;
	struct mountinfo m;
	struct stat st;

	while (n < sizeof(seen) / sizeof(*seen) && mountinfo_next(&rest, &m)) {
		if (hugetlbfs_page_size(&m) != size)
			continue;
		snprintf(path, sizeof(path), "%s%s%s%s", self ? "" : "/proc/", self ? "" : pid,
			 self ? "" : "/root", m.point);
		if (stat(path, &st))
			continue;
		for (i = 0; i < n && seen[i] != st.st_dev; i++)
			;
		if (i < n)
			continue;
		seen[n++] = st.st_dev;
		find_below(files, path, size);
	}
	free(text);
	qsort(files->file, files->n, sizeof(*files->file), by_inode);
}

/* Marks files that a process has mapped. Returns false if this user may not see its mappings. */
static bool mark_used(struct files *files, int pid)
{
	char *text = file_text("/proc/%d/maps", pid), *line, *rest;
	unsigned int major, minor;
	unsigned long ino;

	if (!text)
		return false;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		struct file key = { 0 }, *found;

		if (sscanf(line, "%*s %*s %*s %x:%x %lu", &major, &minor, &ino) != 3 || !ino)
			continue;
		key.dev = makedev(major, minor);
		key.ino = ino;
		found = bsearch(&key, files->file, files->n, sizeof(key), by_inode);
		if (found)
			found->used = true;
	}
	free(text);
	return true;
}

/* Has the path only characters that a shell does not change? Other paths are left out of cures. */
static bool is_plain(const char *path)
{
	return !path[strspn(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./")];
}

/* Writes a pattern such as "/hugepages/rtemap_*", or the path if it would match a file in use. */
static void pattern_of(char *pattern, size_t size, const struct files *files, const char *path)
{
	size_t stem = strlen(path), i;

	while (stem && isdigit((unsigned char)path[stem - 1]))
		stem--;
	snprintf(pattern, size, "%s", path);
	if (!path[stem] || path[stem - 1] == '/')
		return;
	for (i = 0; i < files->n; i++)
		if (files->file[i].used && !strncmp(files->file[i].path, path, stem))
			return;
	snprintf(pattern, size, "%.*s*", (int)stem, path);
}

static void add_name(struct hugefiles *result, const char *pattern)
{
	size_t len = strlen(result->names), n = strlen(pattern);
	const char *at;

	for (at = result->names; (at = strstr(at, pattern)); at++)
		if ((at == result->names || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
			return;
	if (len + n + 2 < sizeof(result->names))
		snprintf(result->names + len, sizeof(result->names) - len, "%s%s", len ? " " : "", pattern);
}

void hugefiles_read(struct hugefiles *result, const char *pid, unsigned long long size,
		    const struct hugeusers *users)
{
	struct files files = { 0 };
	char pattern[PATH_MAX];
	bool seen = true;
	size_t i;

	memset(result, 0, sizeof(*result));
	find(&files, pid, size);
	for (i = 0; i < users->n && files.n; i++)
		seen = mark_used(&files, users->pids[i]) && seen;
	for (i = 0; i < files.n && seen; i++) {
		const struct file *f = &files.file[i];

		if (f->used)
			continue;
		result->pages += f->pages;
		/* as DPDK's clear_hugedir() does */
		if (!fnmatch("*map_*", strrchr(f->path, '/') + 1, 0))
			result->dpdk += f->pages;
		pattern_of(pattern, sizeof(pattern), &files, f->path);
		if (is_plain(f->path))
			add_name(result, pattern);
	}
	for (i = 0; i < files.n; i++)
		free(files.file[i].path);
	free(files.file);
}
