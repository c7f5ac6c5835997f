// SPDX-License-Identifier: MIT
#include "preload.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static bool is_there(char *path, size_t size, const char *directory)
{
	if (snprintf(path, size, "%s/" PRELOAD_NAME, directory) < (int)size && !access(path, R_OK) &&
	    /* the dynamic linker would end the name at these characters */
	    !strpbrk(path, " :"))
		return true;
	*path = '\0';
	return false;
}

/* Looks where the library was installed, and beside this program, which may not be installed. */
void preload_find(char *path, size_t size)
{
	char own[512], *last;
	ssize_t n;

	if (is_there(path, size, PRELOAD_DIRECTORY))
		return;
	n = readlink("/proc/self/exe", own, sizeof(own) - sizeof("lib"));
	if (n < 0)
		return;
	own[n] = '\0';
	last = strrchr(own, '/');
	if (last)
		*last = '\0';
	last = strrchr(own, '/');
	if (!last)
		return;
	strcpy(last + 1, "lib");
	is_there(path, size, own);
}

/* Opens the program that execvp() would run. */
static int open_program(const char *name)
{
	const char *path = getenv("PATH"), *end;
	char file[512];
	struct stat st;
	int fd;

	if (strchr(name, '/') || !path)
		return open(name, O_RDONLY | O_CLOEXEC);
	for (;; path = end + 1) {
		end = strchrnul(path, ':');
		snprintf(file, sizeof(file), "%.*s/%s", (int)(end - path), end > path ? path : ".", name);
		if (!access(file, X_OK) && !stat(file, &st) && S_ISREG(st.st_mode)) {
			fd = open(file, O_RDONLY | O_CLOEXEC);
			if (fd >= 0)
				return fd;
		}
		if (!*end)
			return -1;
	}
}

/*
 * Reads the name of the program's dynamic linker. Returns false if the program is static. A script
 * is not: its interpreter is dynamic as a rule.
 */
static bool read_linker(int fd, char *linker, size_t size)
{
	Elf64_Phdr header;
	Elf64_Ehdr elf;
	int i;

	if (pread(fd, &elf, sizeof(elf), 0) != sizeof(elf) || memcmp(elf.e_ident, ELFMAG, SELFMAG) ||
	    elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_phentsize != sizeof(header))
		return true;
	for (i = 0; i < elf.e_phnum; i++) {
		if (pread(fd, &header, sizeof(header),
			  (off_t)(elf.e_phoff + (Elf64_Off)i * sizeof(header))) != sizeof(header))
			return true;
		if (header.p_type != PT_INTERP)
			continue;
		if (header.p_filesz < size)
			size = header.p_filesz;
		if (pread(fd, linker, size, (off_t)header.p_offset) < 0 || !size)
			return true;
		linker[size - 1] = '\0';
		return true;
	}
	return false;
}

static const char *reason_of(int fd)
{
	unsigned char ident[EI_NIDENT];
	char linker[64] = "";
	struct stat st;

	if (pread(fd, ident, sizeof(ident), 0) == sizeof(ident) && !memcmp(ident, ELFMAG, SELFMAG) &&
	    ident[EI_CLASS] != ELFCLASS64)
		return "it is a 32-bit program";
	if (!read_linker(fd, linker, sizeof(linker)))
		return "it is static";
	/* Our library needs functions of glibc: with another C library no program would start. */
	if (strstr(linker, "/ld-musl"))
		return "its C library is musl";
	/* Into the following programs the dynamic linker preloads nothing from our directory. */
	if (fstat(fd, &st))
		return NULL;
	if (st.st_mode & S_ISUID && st.st_uid != geteuid())
		return "it is set-user-ID";
	if (st.st_mode & S_ISGID && st.st_mode & S_IXGRP && st.st_gid != getegid())
		return "it is set-group-ID";
	if (geteuid() && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return "its file has capabilities";
	return NULL;
}

const char *preload_not_for(const char *program)
{
	int fd = open_program(program);
	const char *reason;

	if (fd < 0)
		return NULL;
	reason = reason_of(fd);
	close(fd);
	return reason;
}

int preload_set(const char *path)
{
	const char *others = getenv("LD_PRELOAD");
	char *list;
	int ret;

	/* after the user's libraries: AddressSanitizer must be the first one */
	if (asprintf(&list, "%s%s%s", others ? others : "", others && *others ? ":" : "", path) < 0)
		return -ENOMEM;
	ret = setenv("LD_PRELOAD", list, 1) ? -errno : 0;
	free(list);
	return ret;
}
