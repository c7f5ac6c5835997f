/* SPDX-License-Identifier: MIT */
/* The mount and network namespaces that are not ours. */
#ifndef NAMESPACES_H
#define NAMESPACES_H

#include <stddef.h>
#include <sys/types.h>

/**
 * struct namespace - another namespace
 * @device:	with @inode, which one it is
 * @pid:	a process in it, or 0
 * @label:	"sleep[123]", who is in it, or the name that "ip netns" gives it
 * @path:	what setns() takes
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

/* @kind: "mnt" or "net". Those that may be seen, each once; namespaces_free() them. */
void namespaces_read(struct namespaces *namespaces, const char *kind);
void namespaces_free(struct namespaces *namespaces);

#endif
