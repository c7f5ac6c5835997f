/* SPDX-License-Identifier: MIT */
/*
 * System calls by number. This library uses them for itself: they go through no interposer, take no
 * lock of libc, allocate nothing, and do not change errno.
 */
#ifndef PRELOAD_RAW_H
#define PRELOAD_RAW_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns the result, or -errno. */
#define raw(...) ({ int before_ = errno; raw_end(before_, syscall(__VA_ARGS__)); })

static inline long raw_end(int before, long ret)
{
	if (ret == -1)
		ret = -errno;
	errno = before;
	return ret;
}

static inline int raw_open(const char *path, int flags)
{
	return (int)raw(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

static inline void raw_close(int fd)
{
	raw(SYS_close, fd);
}

/* Reads a link's target, with NUL. Returns 0, or -errno, also if it does not fit. */
static inline int raw_readlink(const char *path, char *text, size_t size)
{
	long n = raw(SYS_readlinkat, AT_FDCWD, path, text, size);

	if (n == (long)size)
		return -ENAMETOOLONG;
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	return 0;
}

/* Returns zeroed private memory, or NULL. */
static inline void *raw_memory(size_t size)
{
	long ret = raw(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	return ret < 0 && ret > -4096 ? NULL : (void *)ret;
}

static inline void raw_free(void *memory, size_t size)
{
	raw(SYS_munmap, memory, size);
}

#endif
