// SPDX-License-Identifier: MIT
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RECORDS "/run/flatiommu"
#define MACHINE RECORDS "/machine"
#define LOCK RECORDS "/lock"
#define LOCK_SECONDS 60

static int lock_fd = -1;

/* Returns the process that has the lock, or 0 if the kernel does not tell. */
static int lock_owner(void)
{
	char *text = file_text("/proc/locks"), *line, *rest;
	struct stat st = { 0 };
	int owner = 0;

	fstat(lock_fd, &st);
	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line && !owner;
	     line = strtok_r(NULL, "\n", &rest)) {
		unsigned long long inode;
		int pid;

		if (sscanf(line, "%*s FLOCK %*s %*s %d %*x:%*x:%llu", &pid, &inode) == 2 &&
		    inode == st.st_ino)
			owner = pid;
	}
	free(text);
	return owner;
}

static int lock(struct tool *tool)
{
	const struct timespec nap = { .tv_nsec = 50 * 1000 * 1000 };
	char name[32];
	int i, owner;

	for (i = 0; flock(lock_fd, LOCK_EX | LOCK_NB); i++) {
		if (errno != EWOULDBLOCK)
			return tool_fail(tool, -errno, LOCK ": %s", strerror(errno));
		if (i == LOCK_SECONDS * 20) {
			owner = lock_owner();
			read_name(name, sizeof(name), owner);
			return tool_fail(tool, -ETIMEDOUT,
					 "another command has been changing things for %d s: %s[%d]",
					 LOCK_SECONDS, name, owner);
		}
		nanosleep(&nap, NULL);
	}
	return 0;
}

int record_lock(struct tool *tool)
{
	if (mkdir(RECORDS, 0755) && errno != EEXIST)
		return tool_fail(tool, -errno, RECORDS ": %s", strerror(errno));
	if (lock_fd < 0) {
		/* not O_CLOEXEC: a modprobe that outlives us must keep the lock */
		lock_fd = open(LOCK, O_RDWR | O_CREAT, 0600);
		if (lock_fd < 0)
			return tool_fail(tool, -errno, LOCK ": %s", strerror(errno));
		/* unlock at exit: children that sleep in the kernel keep the file open */
		atexit(record_unlock);
	}
	return lock(tool);
}

void record_unlock(void)
{
	if (lock_fd >= 0)
		flock(lock_fd, LOCK_UN);
}

int record_lock_for(struct tool *tool, struct functions *functions)
{
	int ret = record_lock(tool);
	size_t i;

	for (i = 0; i < functions->n && !ret; i++) {
		struct function *f = &functions->function[i];

		if (function_read(f, f->address))
			ret = tool_fail(tool, -ENODEV, "%s: is gone", f->address);
	}
	return ret;
}

int record_lock_fd(void)
{
	return lock_fd;
}

int record_load(struct record *record, const char *address)
{
	char *text = file_text(RECORDS "/%s", address), *line, *rest;

	memset(record, 0, sizeof(*record));
	snprintf(record->address, sizeof(record->address), "%s", address);
	if (!text)
		return -ENOENT;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		sscanf(line, "driver=%63s", record->driver);
		sscanf(line, "override=%63s", record->override);
		sscanf(line, "id=%x:%x", &record->vendor, &record->device);
		if (!strcmp(line, "claimed=1"))
			record->claimed = true;
		if (!strcmp(line, "probe=1"))
			record->probe = true;
	}
	free(text);
	return 0;
}

int record_save(struct tool *tool, const struct record *record)
{
	char text[256];
	int ret;

	snprintf(text, sizeof(text), "driver=%s\noverride=%s\nclaimed=%d\nid=%04x:%04x\n%s",
		 record->driver, record->override, record->claimed, record->vendor, record->device,
		 record->probe ? "probe=1\n" : "");
	ret = file_replace(text, RECORDS "/%s", record->address);
	return ret ? tool_fail(tool, ret, RECORDS "/%s: %s", record->address, strerror(-ret)) : 0;
}

bool record_is_of(const struct record *record, const struct function *function)
{
	return record->vendor == function->vendor && record->device == function->device;
}

void record_remove(const char *address)
{
	char path[64];

	snprintf(path, sizeof(path), RECORDS "/%s", address);
	unlink(path);
}

int records_read(struct names *addresses)
{
	size_t i, n = 0;
	int ret;

	ret = names_read(addresses, RECORDS);
	for (i = 0; i < addresses->n; i++) {
		const char *dot = strrchr(addresses->name[i], '.');

		/* only addresses such as 0000:00:04.0, not "machine" or temporary files */
		if (strchr(addresses->name[i], ':') && dot && strlen(dot) == 2)
			addresses->name[n++] = addresses->name[i];
		else
			free(addresses->name[i]);
	}
	addresses->n = n;
	return ret == -ENOENT ? 0 : ret;
}

char *machine_load(void)
{
	return file_text(MACHINE);
}

int machine_save(struct tool *tool, const char *text)
{
	int ret = file_replace(text, MACHINE);

	return ret ? tool_fail(tool, ret, MACHINE ": %s", strerror(-ret)) : 0;
}

void machine_remove(void)
{
	unlink(MACHINE);
}
