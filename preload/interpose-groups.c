// SPDX-License-Identifier: MIT
/*
 * Calls that look for IOMMU groups, or mount a sysfs, which shows them again. open() and similar
 * calls are in interpose-files.c.
 */
#undef _FORTIFY_SOURCE
#include "interpose.h"

#include <sys/mount.h>
#include <unistd.h>

#include "cover.h"
#include "groups.h"
#include "raw.h"

INTERPOSER DIR *opendir(const char *path)
{
	return real()->opendir(groups_path(path));
}

INTERPOSER int scandir(const char *path, struct dirent ***names,
		       int (*filter)(const struct dirent *),
		       int (*compare)(const struct dirent **, const struct dirent **))
{
	return real()->scandir(groups_path(path), names, filter, compare);
}

INTERPOSER int scandir64(const char *path, struct dirent64 ***names,
			 int (*filter)(const struct dirent64 *),
			 int (*compare)(const struct dirent64 **, const struct dirent64 **))
	__attribute__((alias("scandir")));

INTERPOSER int access(const char *path, int mode)
{
	return real()->access(groups_path(path), mode);
}

INTERPOSER int faccessat(int dir, const char *path, int mode, int flags)
{
	return real()->faccessat(dir, groups_path(path), mode, flags);
}

INTERPOSER int stat(const char *path, struct stat *st)
{
	return real()->stat(groups_path(path), st);
}

INTERPOSER int lstat(const char *path, struct stat *st)
{
	return real()->lstat(groups_path(path), st);
}

INTERPOSER int fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return real()->fstatat(dir, groups_path(path), st, flags);
}

INTERPOSER int stat64(const char *path, struct stat64 *st) __attribute__((alias("stat")));
INTERPOSER int lstat64(const char *path, struct stat64 *st) __attribute__((alias("lstat")));
INTERPOSER int fstatat64(int dir, const char *path, struct stat64 *st, int flags)
	__attribute__((alias("fstatat")));

INTERPOSER int statx(int dir, const char *path, int flags, unsigned int mask, struct statx *st)
{
	return real()->statx(dir, groups_path(path), flags, mask, st);
}

/* Programs that were built with a glibc before 2.33 call these. */
INTERPOSER int __xstat(int version, const char *path, struct stat *st);
INTERPOSER int __lxstat(int version, const char *path, struct stat *st);

int __xstat(int version, const char *path, struct stat *st)
{
	(void)version;
	return real()->stat(groups_path(path), st);
}

int __lxstat(int version, const char *path, struct stat *st)
{
	(void)version;
	return real()->lstat(groups_path(path), st);
}

INTERPOSER int __xstat64(int version, const char *path, struct stat *st)
	__attribute__((alias("__xstat")));
INTERPOSER int __lxstat64(int version, const char *path, struct stat *st)
	__attribute__((alias("__lxstat")));

INTERPOSER int mount(const char *source, const char *point, const char *type, unsigned long flags,
		     const void *data)
{
	int ret = real()->mount(source, point, type, flags, data);

	if (!ret)
		cover_groups(AT_FDCWD, point);
	return ret;
}

/* glibc has move_mount() since 2.36. */
INTERPOSER int move_mount(int from_dir, const char *from, int dir, const char *point,
			  unsigned int flags);

int move_mount(int from_dir, const char *from, int dir, const char *point, unsigned int flags)
{
	long ret = raw(SYS_move_mount, from_dir, from, dir, point, flags);

	if (!ret) {
		cover_groups(dir, point);
		return 0;
	}
	errno = (int)-ret;
	return -1;
}
