// SPDX-License-Identifier: MIT
/* Calls that open, read and close the program's files. */
#undef _FORTIFY_SOURCE
#include "interpose.h"

#include <linux/close_range.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#include "entries.h"
#include "files.h"
#include "groups.h"
#include "lock.h"
#include "node.h"
#include "raw.h"
#include "say.h"

#define MODE_OF(flags, last)						\
	({								\
		mode_t mode_ = 0;					\
		va_list args_;						\
									\
		if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
			va_start(args_, last);				\
			mode_ = va_arg(args_, mode_t);			\
			va_end(args_);					\
		}							\
		mode_;							\
	})

/* Returns 0, or -1 with errno: then the program does not get the file. */
static int opened(int fd, const char *path, int flags)
{
	sigset_t before;
	int ret;

	if (fd < 0 || !(files_may_be(path, flags) || files_is_device(fd, flags)))
		return 0;
	lock(&before);
	ret = files_opened(fd, flags);
	unlock(&before);
	if (!ret)
		return 0;
	errno = -ret;
	return -1;
}

/*
 * May the file's pages be memory of a device? Not those of a disk: programs write to logs often, and a
 * later sweep finds their pages as well.
 */
static bool may_be_mapped(int fd)
{
	struct statfs fs;
	struct stat st;

	return raw(SYS_fstat, fd, &st) >= 0 && S_ISREG(st.st_mode) &&
	       raw(SYS_fstatfs, fd, &fs) >= 0 &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
}

static int end_open(int fd, const char *path, int flags)
{
	if (fd >= 0 && flags & O_TRUNC && may_be_mapped(fd))
		file_was_cut();
	if (!opened(fd, path, flags))
		return fd;
	raw_close(fd);
	return -1;
}

INTERPOSER int open(const char *path, int flags, ...)
{
	mode_t mode = MODE_OF(flags, flags);

	return end_open(real()->open(groups_path(path), flags, mode), path, flags);
}

INTERPOSER int openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = MODE_OF(flags, flags);

	return end_open(real()->openat(dir, groups_path(path), flags, mode), path, flags);
}

INTERPOSER int open64(const char *path, int flags, ...) __attribute__((alias("open")));
INTERPOSER int __open(const char *path, int flags, ...) __attribute__((nonnull(1), alias("open")));
INTERPOSER int __open64(const char *path, int flags, ...)
	__attribute__((nonnull(1), alias("open")));
INTERPOSER int openat64(int dir, const char *path, int flags, ...) __attribute__((alias("openat")));

INTERPOSER int creat(const char *path, mode_t mode)
{
	return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

INTERPOSER int creat64(const char *path, mode_t mode) __attribute__((alias("creat")));

/* Programs that were built with _FORTIFY_SOURCE call these when there is no mode. */
INTERPOSER int __open_2(const char *path, int flags);
INTERPOSER int __openat_2(int dir, const char *path, int flags);

int __open_2(const char *path, int flags)
{
	return end_open(real()->open(groups_path(path), flags), path, flags);
}

int __openat_2(int dir, const char *path, int flags)
{
	return end_open(real()->openat(dir, groups_path(path), flags), path, flags);
}

INTERPOSER int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));
INTERPOSER int __openat64_2(int dir, const char *path, int flags)
	__attribute__((alias("__openat_2")));

INTERPOSER FILE *fopen(const char *path, const char *mode)
{
	FILE *file = real()->fopen(groups_path(path), mode);
	int err;

	if (file && *mode == 'w' && may_be_mapped(fileno(file)))
		file_was_cut();
	if (!file || !opened(fileno(file), path, *mode == 'r' && !strchr(mode, '+') ? O_RDONLY : O_RDWR))
		return file;
	err = errno;
	fclose(file);
	errno = err;
	return NULL;
}

INTERPOSER FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));

/* A child of vfork() has this memory, but its own standard error. */
static void ends_standard_error(void)
{
	if (raw(SYS_getpid) == own_pid())
		say_to_nobody();
}

static int begins_standard_error(int fd, int to)
{
	if (to == STDERR_FILENO && fd != to && raw(SYS_getpid) == own_pid())
		say_again();
	return to;
}

INTERPOSER int close(int fd)
{
	/* A file of this library, unknown to the program: it closes all file descriptors. */
	if (node_has(fd)) {
		errno = EBADF;
		return -1;
	}
	if (fd == STDERR_FILENO)
		ends_standard_error();
	if (files_any())
		files_closed(fd);
	return real()->close(fd);
}

INTERPOSER int fclose(FILE *file)
{
	if (file == stderr)
		ends_standard_error();
	return real()->fclose(file);
}

INTERPOSER int close_range(unsigned int first, unsigned int last, int flags)
{
	long ret;
	int own;

	if (first <= STDERR_FILENO && last >= STDERR_FILENO && !(flags & CLOSE_RANGE_CLOEXEC))
		ends_standard_error();
	/* skip our files; they have close-on-exec already */
	while (first <= last && first <= INT32_MAX) {
		own = node_next((int)first);
		if (own < 0 || (unsigned int)own > last)
			break;
		if ((unsigned int)own > first) {
			ret = raw(SYS_close_range, first, own - 1, flags);
			if (ret < 0)
				goto fail;
		}
		first = (unsigned int)own + 1;
		if (first > last)
			return 0;
	}
	ret = raw(SYS_close_range, first, last, flags);
	if (!ret)
		return 0;
fail:
	errno = (int)-ret;
	return -1;
}

INTERPOSER void closefrom(int lowest)
{
	close_range(lowest > 0 ? (unsigned int)lowest : 0, ~0u, 0);
}

static int duplicated(int fd, int to)
{
	sigset_t before;
	int ret = 0;

	if (to < 0 || to == fd || !files_any() || files_is(fd) == FILES_NONE)
		return to;
	lock(&before);
	ret = files_duplicated(fd, to);
	unlock(&before);
	if (!ret)
		return to;
	raw_close(to);
	errno = -ret;
	return -1;
}

/* Moves our file away if the program is about to put another file at its number. */
static int make_way(int fd, int to)
{
	sigset_t before;
	int ret = 0;

	/* A child of vfork() has the parent's memory, but not its files: do not move those. */
	if (fd == to || !node_has(to) || raw(SYS_getpid) != own_pid())
		return 0;
	lock(&before);
	if (node_has(to))
		ret = node_make_way(to);
	unlock(&before);
	if (!ret)
		return 0;
	errno = -ret;
	return -1;
}

INTERPOSER int dup(int fd)
{
	return duplicated(fd, real()->dup(fd));
}

INTERPOSER int dup2(int fd, int to)
{
	if (make_way(fd, to))
		return -1;
	return begins_standard_error(fd, duplicated(fd, real()->dup2(fd, to)));
}

INTERPOSER int dup3(int fd, int to, int flags)
{
	if (make_way(fd, to))
		return -1;
	return begins_standard_error(fd, duplicated(fd, real()->dup3(fd, to, flags)));
}

INTERPOSER int fcntl(int fd, int cmd, ...)
{
	va_list args;
	void *arg;
	int ret;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	ret = real()->fcntl(fd, cmd, arg);
	return cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC ? duplicated(fd, ret) : ret;
}

INTERPOSER int fcntl64(int fd, int cmd, ...) __attribute__((alias("fcntl")));

/* Reads at @offset; below 0: at the file's position. @own: it is this process's pagemap. */
static ssize_t read_own(int fd, void *buf, size_t n, off_t offset, bool own)
{
	sigset_t before;
	long ret, at;

	lock(&before);
	if (offset < 0) {
		ret = raw(SYS_read, fd, buf, n);
		at = ret > 0 ? raw(SYS_lseek, fd, 0, SEEK_CUR) - ret : 0;
	} else {
		ret = raw(SYS_pread64, fd, buf, n, offset);
		at = offset;
	}
	if (ret > 0)
		entries_answer(buf, (size_t)ret, (uint64_t)at, own);
	unlock(&before);
	if (ret >= 0)
		return ret;
	errno = (int)-ret;
	return -1;
}

/* Reads as the kernel does: part by part, up to the first part that is not filled. */
static ssize_t read_parts(int fd, const struct iovec *parts, int n, off_t offset, bool own)
{
	ssize_t sum = 0, ret = 0;
	int i;

	for (i = 0; i < n; i++) {
		ret = read_own(fd, parts[i].iov_base, parts[i].iov_len,
			       offset < 0 ? offset : offset + sum, own);
		if (ret < 0)
			break;
		sum += ret;
		if ((size_t)ret < parts[i].iov_len)
			break;
	}
	return sum ? sum : ret;
}

/* Is it a pagemap? Sets *@own to whether it is this process's. */
static bool is_pagemap(int fd, bool *own)
{
	enum files is = files_any() ? files_is(fd) : FILES_NONE;

	*own = is == FILES_OWN;
	return is != FILES_NONE;
}

INTERPOSER ssize_t read(int fd, void *buf, size_t n)
{
	bool own;

	return is_pagemap(fd, &own) ? read_own(fd, buf, n, -1, own) : real()->read(fd, buf, n);
}

INTERPOSER ssize_t pread(int fd, void *buf, size_t n, off_t offset)
{
	bool own;

	return offset >= 0 && is_pagemap(fd, &own) ? read_own(fd, buf, n, offset, own) :
	       real()->pread(fd, buf, n, offset);
}

INTERPOSER ssize_t pread64(int fd, void *buf, size_t n, off_t offset)
	__attribute__((alias("pread")));

/* If the memory is too small, libc's function ends the program. */
INTERPOSER ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
INTERPOSER ssize_t __pread_chk(int fd, void *buf, size_t n, off_t offset, size_t size);

ssize_t __read_chk(int fd, void *buf, size_t n, size_t size)
{
	bool own;

	return n <= size && is_pagemap(fd, &own) ? read_own(fd, buf, n, -1, own) :
	       real()->__read_chk(fd, buf, n, size);
}

ssize_t __pread_chk(int fd, void *buf, size_t n, off_t offset, size_t size)
{
	bool own;

	return n <= size && offset >= 0 && is_pagemap(fd, &own) ?
	       read_own(fd, buf, n, offset, own) : real()->__pread_chk(fd, buf, n, offset, size);
}

INTERPOSER ssize_t __pread64_chk(int fd, void *buf, size_t n, off_t offset, size_t size)
	__attribute__((alias("__pread_chk")));

INTERPOSER ssize_t readv(int fd, const struct iovec *parts, int n)
{
	bool own;

	return is_pagemap(fd, &own) ? read_parts(fd, parts, n, -1, own) :
	       real()->readv(fd, parts, n);
}

INTERPOSER ssize_t preadv(int fd, const struct iovec *parts, int n, off_t offset)
{
	bool own;

	return offset >= 0 && is_pagemap(fd, &own) ? read_parts(fd, parts, n, offset, own) :
	       real()->preadv(fd, parts, n, offset);
}

INTERPOSER ssize_t preadv2(int fd, const struct iovec *parts, int n, off_t offset, int flags)
{
	bool own;

	return offset >= -1 && is_pagemap(fd, &own) ? read_parts(fd, parts, n, offset, own) :
	       real()->preadv2(fd, parts, n, offset, flags);
}

INTERPOSER ssize_t preadv64(int fd, const struct iovec *parts, int n, off_t offset)
	__attribute__((alias("preadv")));
INTERPOSER ssize_t preadv64v2(int fd, const struct iovec *parts, int n, off_t offset, int flags)
	__attribute__((alias("preadv2")));

/*
 * stdio reads ahead, and without the functions of this file. Entries in its memory may be old, so
 * they are read again.
 */
static size_t read_stream(void *buf, size_t size, size_t n, FILE *file)
{
	sigset_t before;
	off_t from, to;
	size_t ret;
	bool own;

	flockfile(file);
	from = ftello(file);
	ret = real()->fread(buf, size, n, file);
	to = ftello(file);
	if (from >= 0 && to > from) {
		lock(&before);
		own = files_is(fileno(file)) == FILES_OWN;
		entries_answer_anew(buf, (size_t)(to - from), (uint64_t)from, own);
		unlock(&before);
	}
	funlockfile(file);
	return ret;
}

static bool is_pagemap_stream(FILE *file)
{
	return files_any() && files_is(fileno(file)) != FILES_NONE;
}

INTERPOSER size_t fread(void *buf, size_t size, size_t n, FILE *file)
{
	return is_pagemap_stream(file) ? read_stream(buf, size, n, file) :
	       real()->fread(buf, size, n, file);
}

INTERPOSER size_t fread_unlocked(void *buf, size_t size, size_t n, FILE *file)
{
	return is_pagemap_stream(file) ? read_stream(buf, size, n, file) :
	       real()->fread_unlocked(buf, size, n, file);
}

INTERPOSER size_t __fread_chk(void *buf, size_t room, size_t size, size_t n, FILE *file);
INTERPOSER size_t __fread_unlocked_chk(void *buf, size_t room, size_t size, size_t n, FILE *file);

size_t __fread_chk(void *buf, size_t room, size_t size, size_t n, FILE *file)
{
	size_t bytes;

	return is_pagemap_stream(file) && !__builtin_mul_overflow(size, n, &bytes) && bytes <= room ?
	       read_stream(buf, size, n, file) : real()->__fread_chk(buf, room, size, n, file);
}

size_t __fread_unlocked_chk(void *buf, size_t room, size_t size, size_t n, FILE *file)
{
	return __fread_chk(buf, room, size, n, file);
}
