// SPDX-License-Identifier: MIT
#include "sysfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Formats a path by @fmt and the parameters after it. */
#define format_path(path, fmt) \
	do { \
		va_list args; \
		va_start(args, fmt); \
		vsnprintf(path, sizeof(path), fmt, args); \
		va_end(args); \
	} while (0)

static int open_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0644);

	return fd < 0 ? -errno : fd;
}

static int read_path(char *buf, size_t size, const char *path)
{
	size_t len = 0;
	ssize_t n;
	int fd;

	fd = open_path(path, O_RDONLY);
	if (fd < 0)
		return fd;
	do {
		n = read(fd, buf + len, size - 1 - len);
		if (n > 0)
			len += n;
	} while (n > 0 && len < size - 1);
	n = n < 0 ? -errno : 0;
	close(fd);
	while (len && isspace((unsigned char)buf[len - 1]))
		len--;
	buf[len] = 0;
	return n;
}

int file_read(char *buf, size_t size, const char *fmt, ...)
{
	char path[PATH_MAX];
	int ret;

	format_path(path, fmt);
	ret = read_path(buf, size, path);
	if (ret)
		buf[0] = 0;
	return ret;
}

/* The files are closed together, as a range, which must contain no other file. */
int attribute_read(struct attributes *attributes, char *buf, size_t size, const char *fmt, ...)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	buf[0] = 0;
	format_path(path, fmt);
	fd = open_path(path, O_RDONLY);
	if (fd == -EMFILE) {
		attributes_close(attributes);
		fd = open_path(path, O_RDONLY);
	}
	if (fd < 0)
		return fd;
	if (fd != attributes->last + 1 || fd - attributes->first >= 128) {
		attributes_close(attributes);
		attributes->first = fd;
	}
	attributes->last = fd;
	n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = 0;
	buf[strcspn(buf, "\n")] = 0;
	return 0;
}

void attributes_close(struct attributes *attributes)
{
	if (attributes->last >= attributes->first)
		close_range(attributes->first, attributes->last, 0);
	attributes->first = 0;
	attributes->last = -1;
}

char *file_text(const char *fmt, ...)
{
	char path[PATH_MAX], *text = NULL;
	size_t size = 0;
	FILE *f;

	format_path(path, fmt);
	f = fopen(path, "re");
	if (!f)
		return NULL;
	errno = 0;
	/* a text has no NUL, so this reads all of it */
	if (getdelim(&text, &size, 0, f) < 0) {
		free(text);
		text = errno ? NULL : strdup("");
	}
	fclose(f);
	return text;
}

unsigned long long file_number(unsigned long long otherwise, const char *fmt, ...)
{
	char path[PATH_MAX], text[64], *end;
	unsigned long long number;

	format_path(path, fmt);
	if (read_path(text, sizeof(text), path))
		return otherwise;
	number = strtoull(text, &end, 0);
	return end == text ? otherwise : number;
}

static int write_fd(int fd, const char *text)
{
	size_t len = strlen(text);
	ssize_t n = write(fd, text, len);

	return n < 0 ? -errno : (size_t)n < len ? -EIO : 0;
}

int file_write(const char *text, const char *fmt, ...)
{
	char path[PATH_MAX];
	int fd, ret;

	format_path(path, fmt);
	fd = open_path(path, O_WRONLY);
	if (fd < 0)
		return fd;
	ret = write_fd(fd, text);
	close(fd);
	return ret;
}

int file_replace(const char *text, const char *fmt, ...)
{
	char path[PATH_MAX - 8], temporary[PATH_MAX];
	int fd, ret;

	format_path(path, fmt);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	fd = open_path(temporary, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0)
		return fd;
	ret = write_fd(fd, text);
	if (!ret && fsync(fd))
		ret = -errno;
	close(fd);
	if (!ret && rename(temporary, path))
		ret = -errno;
	if (ret)
		unlink(temporary);
	return ret;
}

int link_name(char *buf, size_t size, const char *fmt, ...)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *base;
	ssize_t len;

	buf[0] = 0;
	format_path(path, fmt);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = 0;
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	if (strlen(base) >= size)
		return -ENAMETOOLONG;
	memcpy(buf, base, strlen(base) + 1);
	return 0;
}

bool file_exists(const char *fmt, ...)
{
	char path[PATH_MAX];

	format_path(path, fmt);
	return !access(path, F_OK);
}

bool file_has_word(const char *word, const char *fmt, ...)
{
	char path[PATH_MAX], *text, *part, *rest;
	bool found = false;

	format_path(path, fmt);
	text = file_text("%s", path);
	if (!text)
		return false;
	for (part = strtok_r(text, " \t\n", &rest); part && !found;
	     part = strtok_r(NULL, " \t\n", &rest))
		found = !strcmp(part, word);
	free(text);
	return found;
}

static int by_version(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(struct names *names, size_t *room, const char *name)
{
	char **grown;

	if (names->n == *room) {
		*room = *room ? 2 * *room : 16;
		grown = reallocarray(names->name, *room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		names->name = grown;
	}
	names->name[names->n] = strdup(name);
	return names->name[names->n] ? (names->n++, 0) : -ENOMEM;
}

int names_read(struct names *names, const char *fmt, ...)
{
	char path[PATH_MAX], buf[16384] __attribute__((aligned(8)));
	size_t room = 0;
	int fd, ret = 0;
	ssize_t n, at;

	names->name = NULL;
	names->n = 0;
	format_path(path, fmt);
	fd = open_path(path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	while (!ret && (n = getdents64(fd, buf, sizeof(buf)))) {
		if (n < 0)
			ret = -errno;
		for (at = 0; at < n && !ret;) {
			const struct dirent64 *entry = (void *)(buf + at);

			if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
				ret = add_name(names, &room, entry->d_name);
			at += entry->d_reclen;
		}
	}
	close(fd);
	if (names->n)
		qsort(names->name, names->n, sizeof(*names->name), by_version);
	return ret;
}

bool names_have(const struct names *names, const char *name)
{
	size_t i;

	for (i = 0; i < names->n; i++)
		if (!strcmp(names->name[i], name))
			return true;
	return false;
}

void names_free(struct names *names)
{
	size_t i;

	for (i = 0; i < names->n; i++)
		free(names->name[i]);
	free(names->name);
	names->name = NULL;
	names->n = 0;
}

void octal_unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		unsigned int c;

		if (sscanf(text, "\\%3o", &c) == 1 && strlen(text) >= 4) {
			*to++ = c;
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = 0;
}

void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			*text = '?';
}

void read_name(char *name, size_t size, int pid)
{
	if (file_read(name, size, "/proc/%d/comm", pid))
		*name = 0;
	make_printable(name);
}
