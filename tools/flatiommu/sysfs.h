/* SPDX-License-Identifier: MIT */
/*
 * Small files of sysfs, procfs and /etc. Paths are formats. Functions with an int return 0 or
 * -errno.
 */
#ifndef SYSFS_H
#define SYSFS_H

#include <stdbool.h>
#include <stddef.h>

#define printf_like(n) __attribute__((format(printf, n, (n) + 1)))

/* Reads the beginning of a file, without white space at its end. */
int file_read(char *buf, size_t size, const char *fmt, ...) printf_like(3);

/* Replaces bytes that are not printable ASCII: programs and labels may have any names. */
void make_printable(char *text);

/* Reads the name of a process, made printable; "" if it is gone. */
void read_name(char *name, size_t size, int pid);

/*
 * Reads many files of sysfs in fewer system calls than file_read(): one read() is enough for their
 * short texts.
 */
struct attributes {
	int first, last;
};

#define NO_ATTRIBUTES { 0, -1 }

int attribute_read(struct attributes *attributes, char *buf, size_t size, const char *fmt, ...)
	printf_like(4);
void attributes_close(struct attributes *attributes);

/* Returns all of a file, to be freed, or NULL with errno. */
char *file_text(const char *fmt, ...) printf_like(1);

/* Returns a number, decimal, 0 octal or 0x hexadecimal, or @otherwise. */
unsigned long long file_number(unsigned long long otherwise, const char *fmt, ...) printf_like(2);

/* Writes to an existing file, in one write(). */
int file_write(const char *text, const char *fmt, ...) printf_like(2);

/* Makes or replaces a file atomically: readers see the old text or the new one. */
int file_replace(const char *text, const char *fmt, ...) printf_like(2);

/* Reads the last part of a link's target. */
int link_name(char *buf, size_t size, const char *fmt, ...) printf_like(3);

bool file_exists(const char *fmt, ...) printf_like(1);

/* Is @word in the file, delimited by white space? */
bool file_has_word(const char *word, const char *fmt, ...) printf_like(2);

/* Names in a directory, without . and .., in the order of versionsort(), for names_free(). */
struct names {
	char **name;
	size_t n;
};

int names_read(struct names *names, const char *fmt, ...) printf_like(2);
bool names_have(const struct names *names, const char *name);
void names_free(struct names *names);

/* Decodes octal escapes: procfs writes a blank as \040. */
void octal_unescape(char *text);

#endif
