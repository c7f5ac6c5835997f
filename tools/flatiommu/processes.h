/* SPDX-License-Identifier: MIT */
/* Which processes have device nodes open. */
#ifndef PROCESSES_H
#define PROCESSES_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "pci.h"

/**
 * struct opened - a process has a node open
 * @pid:	the process
 * @name:	its name
 * @node:	such as /dev/vfio/0; of a VFIO device file, the function's address, where the kernel
 *		tells it
 */
struct opened {
	int pid;
	char name[32];
	char node[64];
};

/**
 * struct processes - of all that may be seen
 * @opened:	sorted by pid
 * @n:		how many
 * @partial:	some processes may not be looked at
 */
struct processes {
	struct opened *opened;
	size_t n;
	bool partial;
};

int processes_read(struct processes *processes);
void processes_free(struct processes *processes);

/* Does this give its process the function? */
bool opened_is_of(const struct opened *opened, const struct function *function);

/* [{"pid", "name"}] of those that have the function open. */
struct json_object *processes_of(const struct processes *processes,
				 const struct function *function);

/* "nvme[123], dd[124]", or "" */
void processes_text(char *buf, size_t size, struct json_object *array);

#endif
