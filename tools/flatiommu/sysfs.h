/* SPDX-License-Identifier: MIT */
/*
 * Small files of sysfs, procfs and /etc. Paths are formats; what returns an int returns 0 or
 * -errno.
 */
#ifndef SYSFS_H
#define SYSFS_H

#include <stdbool.h>
#include <stddef.h>

#define printf_like(n) __attribute__((format(printf, n, (n) + 1)))

/* The beginning of a file, without white space at its end. */
int file_read(char *buf, size_t size, const char *fmt, ...) printf_like(3);

/*
 * The same for many files of sysfs, in fewer system calls: their text is short, and is read at
 * once.
 */
struct attributes {
	int first, last;
};

#define NO_ATTRIBUTES { 0, -1 }

int attribute_read(struct attributes *attributes, char *buf, size_t size, const char *fmt, ...)
	printf_like(4);
void attributes_close(struct attributes *attributes);

/* All of a file, to be freed; NULL with errno. */
char *file_text(const char *fmt, ...) printf_like(1);

/* A number in any base that C has, or @otherwise. */
unsigned long long file_number(unsigned long long otherwise, const char *fmt, ...) printf_like(2);

/* One write to a file that is there. */
int file_write(const char *text, const char *fmt, ...) printf_like(2);

/* Makes or replaces a file atomically: readers see the old text or the new one. */
int file_replace(const char *text, const char *fmt, ...) printf_like(2);

/* The last part of what a link points to. */
int link_name(char *buf, size_t size, const char *fmt, ...) printf_like(3);

bool file_exists(const char *fmt, ...) printf_like(1);

/* Is @word in the file, delimited by white space? */
bool file_has_word(const char *word, const char *fmt, ...) printf_like(2);

/* Names in a directory, without . and .., in the order of versionsort(); names_free() them. */
struct names {
	char **name;
	size_t n;
};

int names_read(struct names *names, const char *fmt, ...) printf_like(2);
bool names_have(const struct names *names, const char *name);
void names_free(struct names *names);

/* Blanks and the like in procfs are \040, three octal digits. */
void octal_unescape(char *text);

#endif
