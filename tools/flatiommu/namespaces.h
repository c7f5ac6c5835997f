/* SPDX-License-Identifier: MIT */
/* Other mount and network namespaces than ours. */
#ifndef NAMESPACES_H
#define NAMESPACES_H

#include <stddef.h>
#include <sys/types.h>

/**
 * struct namespace - another namespace
 * @device:	identifies it, with @inode
 * @inode:	identifies it, with @device
 * @pid:	a process in it, or 0
 * @label:	a process in it, "sleep[123]", or the name that "ip netns" gives it
 * @path:	its file, for setns()
 */
struct namespace {
	dev_t device;
	ino_t inode;
	int pid;
	char label[300];
	char path[300];
};

struct namespaces {
	struct namespace *namespace;
	size_t n;
};

/* Finds visible namespaces of a @kind, "mnt" or "net", each once, for namespaces_free(). */
void namespaces_read(struct namespaces *namespaces, const char *kind);
void namespaces_free(struct namespaces *namespaces);

#endif
