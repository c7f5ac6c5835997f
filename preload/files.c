// SPDX-License-Identifier: MIT
/*
 * A file descriptor may be closed without a call of this library, and be another file now. So an
 * entry has the file's inode, which no other file has while this one is open.
 */
#include "files.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "functions.h"
#include "lock.h"
#include "node.h"
#include "raw.h"

#define MOST_FILES 256
#define PROC_MAGIC 0x9fa0

/**
 * struct file - a pagemap that is open
 * @fd:		its file descriptor plus 1, 0 for none. Written last, and read first
 * @process:	own_number() of the process that opened it
 */
struct file {
	_Atomic int fd;
	unsigned int process;
	dev_t device;
	ino_t inode;
};

static struct file files[MOST_FILES];
/* Entries from this index on are free. */
static _Atomic unsigned int nr_files;

bool files_any(void)
{
	return atomic_load_explicit(&nr_files, memory_order_relaxed);
}

static bool identify(int fd, struct stat *st)
{
	/* Not newfstatat(): old kernels look its empty path up like a name. */
	return raw(SYS_fstat, fd, st) == 0;
}

static struct file *find(int fd)
{
	unsigned int i, n = atomic_load(&nr_files);

	for (i = 0; i < n; i++)
		if (atomic_load(&files[i].fd) == fd + 1)
			return &files[i];
	return NULL;
}

enum files files_is(int fd)
{
	struct file *file = fd < 0 ? NULL : find(fd);
	struct stat st;

	if (!file)
		return FILES_NONE;
	if (!identify(fd, &st) || st.st_dev != file->device || st.st_ino != file->inode) {
		/* another thread may have put another number there */
		atomic_compare_exchange_strong(&file->fd, &(int){ fd + 1 }, 0);
		return FILES_NONE;
	}
	return file->process == own_number() ? FILES_OWN : FILES_OTHERS;
}

static int add(int fd, const struct file *of)
{
	struct file *file = find(fd);
	unsigned int i;

	for (i = 0; !file && i < MOST_FILES; i++)
		if (!atomic_load(&files[i].fd))
			file = &files[i];
	/* Some files may be closed: fclose() and the kernel do not call this library. */
	for (i = 0; !file && i < MOST_FILES; i++)
		if (files_is(atomic_load(&files[i].fd) - 1) == FILES_NONE)
			file = &files[i];
	if (!file)
		return -EMFILE;
	atomic_store(&file->fd, 0);
	file->process = of->process;
	file->device = of->device;
	file->inode = of->inode;
	atomic_store(&file->fd, fd + 1);
	i = (unsigned int)(file - files) + 1;
	if (i > nr_files)
		atomic_store(&nr_files, i);
	return 0;
}

static const char *last_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool files_may_be(const char *path, int flags)
{
	const char *last = last_of(path);

	if (!strcmp(last, "pagemap"))
		return true;
	return (flags & O_ACCMODE) != O_RDONLY &&
	       (!strncmp(last, "uio", 3) || !strncmp(last, "vfio", 4) || !strcmp(last, "config") ||
		!strncmp(last, "resource", 8) || (*last >= '0' && *last <= '9'));
}

bool files_is_device(int fd, int flags)
{
	struct stat st;

	return (flags & O_ACCMODE) != O_RDONLY && identify(fd, &st) && S_ISCHR(st.st_mode);
}

/* Replaces the path of a node of uio or VFIO by the kernel's name of it: links have other names. */
static void name_device(int fd, char *path, size_t size)
{
	char link[64], to[256], *name;
	struct stat st;

	if (!identify(fd, &st) || !S_ISCHR(st.st_mode))
		return;
	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	if (raw_readlink(link, to, sizeof(to)))
		return;
	name = strrchr(to, '/');
	if (!name)
		return;
	*name++ = '\0';
	if (!strcmp(last_of(to), "uio"))
		snprintf(path, size, "/dev/%s", name);
	else if (!strcmp(last_of(to), "vfio"))
		snprintf(path, size, "/dev/vfio/%s", name);
	else if (!strcmp(last_of(to), "vfio-dev"))
		snprintf(path, size, "/dev/vfio/devices/%s", name);
}

/* Cuts "/NAME" off the end. Returns false if the path does not end so. */
static bool cut_last(char *path, const char *name)
{
	char *last = strrchr(path, '/');

	if (!last || (name && strcmp(last + 1, name)))
		return false;
	*last = '\0';
	return true;
}

/* @path is PROC/PID/pagemap or PROC/PID/task/TID/pagemap: is it this process's? */
static bool is_own(char *path)
{
	char self[32], link[128], *task;
	int above;

	if (!cut_last(path, "pagemap"))
		return false;
	task = strrchr(path, '/');
	if (task && task - path > 5 && !strncmp(task - 5, "/task", 5)) {
		cut_last(path, NULL);
		cut_last(path, "task");
	}
	above = (int)(last_of(path) - path);
	if (snprintf(link, sizeof(link), "%.*sself", above, path) >= (int)sizeof(link) ||
	    raw_readlink(link, self, sizeof(self)))
		return false;
	if (!strcmp(path + above, self))
		return true;
	/* PROC/TID is there for each thread, but not in a listing. */
	return snprintf(link, sizeof(link), "%.*sself/task/%s", above, path, path + above) <
		       (int)sizeof(link) && !raw(SYS_faccessat, AT_FDCWD, link, F_OK);
}

static bool path_of(int fd, char *path, size_t size)
{
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return !raw_readlink(link, path, size);
}

/* Files of functions that the program got with exec(). */
static bool is_inherited(const char *number)
{
	int fd = atoi(number);
	long flags = raw(SYS_fcntl, fd, F_GETFL);
	char path[512];

	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || !path_of(fd, path, sizeof(path)))
		return true;
	name_device(fd, path, sizeof(path));
	node_uses(path);
	return true;
}

int files_opened(int fd, int flags)
{
	struct file file = { .process = own_number() };
	static bool has_looked;
	struct statfs fs;
	struct stat st;
	char path[512];
	int ret = 0;

	if (!path_of(fd, path, sizeof(path)))
		return 0;
	if (strcmp(last_of(path), "pagemap")) {
		name_device(fd, path, sizeof(path));
		if ((flags & O_ACCMODE) != O_RDONLY)
			node_uses(path);
		return 0;
	}
	if (raw(SYS_fstatfs, fd, &fs) || fs.f_type != PROC_MAGIC || !is_own(path))
		return 0;
	if (identify(fd, &st)) {
		file.device = st.st_dev;
		file.inode = st.st_ino;
		ret = add(fd, &file);
	}
	if (ret)
		return ret;
	if (!has_looked)
		each_name("/proc/self/fd", is_inherited);
	has_looked = true;
	node_retry();
	return 0;
}

int files_duplicated(int fd, int to)
{
	const struct file *file = find(fd);

	return file && files_is(fd) != FILES_NONE ? add(to, file) : 0;
}

void files_closed(int fd)
{
	struct file *file = fd < 0 ? NULL : find(fd);

	/* A child of vfork() has this memory, but closes only its own file. */
	if (file && raw(SYS_getpid) == own_pid())
		atomic_compare_exchange_strong(&file->fd, &(int){ fd + 1 }, 0);
}
