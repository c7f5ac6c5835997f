/* SPDX-License-Identifier: MIT */
/* libc's functions with the names that this library exports. */
#ifndef PRELOAD_INTERPOSE_H
#define PRELOAD_INTERPOSE_H

#include <dirent.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

/* a macro of <stdio.h> */
#undef fread_unlocked

#define INTERPOSER __attribute__((visibility("default")))

/* Each is X(result, name, arguments). */
#define REAL_FUNCTIONS(X)								\
	X(int, open, (const char *, int, ...))						\
	X(int, openat, (int, const char *, int, ...))					\
	X(FILE *, fopen, (const char *, const char *))					\
	X(int, close, (int))								\
	X(int, fclose, (FILE *))							\
	X(int, dup, (int))								\
	X(int, dup2, (int, int))							\
	X(int, dup3, (int, int, int))							\
	X(int, fcntl, (int, int, ...))							\
	X(ssize_t, read, (int, void *, size_t))						\
	X(ssize_t, __read_chk, (int, void *, size_t, size_t))				\
	X(ssize_t, pread, (int, void *, size_t, off_t))					\
	X(ssize_t, __pread_chk, (int, void *, size_t, off_t, size_t))			\
	X(ssize_t, readv, (int, const struct iovec *, int))				\
	X(ssize_t, preadv, (int, const struct iovec *, int, off_t))			\
	X(ssize_t, preadv2, (int, const struct iovec *, int, off_t, int))		\
	X(size_t, fread, (void *, size_t, size_t, FILE *))				\
	X(size_t, fread_unlocked, (void *, size_t, size_t, FILE *))			\
	X(size_t, __fread_chk, (void *, size_t, size_t, size_t, FILE *))		\
	X(int, munmap, (void *, size_t))						\
	X(void *, mmap, (void *, size_t, int, int, int, off_t))				\
	X(void *, mremap, (void *, size_t, size_t, int, ...))				\
	X(int, madvise, (void *, size_t, int))						\
	X(int, remap_file_pages, (void *, size_t, int, size_t, int))			\
	X(int, brk, (void *))								\
	X(void *, sbrk, (intptr_t))							\
	X(void *, shmat, (int, const void *, int))					\
	X(int, shmdt, (const void *))							\
	X(int, truncate, (const char *, off_t))						\
	X(int, ftruncate, (int, off_t))							\
	X(int, fallocate, (int, int, off_t, off_t))					\
	X(DIR *, opendir, (const char *))						\
	X(int, scandir, (const char *, struct dirent ***, int (*)(const struct dirent *), \
			 int (*)(const struct dirent **, const struct dirent **)))	\
	X(int, access, (const char *, int))						\
	X(int, faccessat, (int, const char *, int, int))				\
	X(int, stat, (const char *, struct stat *))					\
	X(int, lstat, (const char *, struct stat *))					\
	X(int, fstatat, (int, const char *, struct stat *, int))			\
	X(int, statx, (int, const char *, int, unsigned int, struct statx *))		\
	X(int, mount, (const char *, const char *, const char *, unsigned long, const void *))

#define REAL_MEMBER(result, name, arguments) result (*name) arguments;
struct real {
	REAL_FUNCTIONS(REAL_MEMBER)
};

const struct real *real(void);

/* A file that programs may have mapped is shorter now, or empty. */
void file_was_cut(void);

#endif
