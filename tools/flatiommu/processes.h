/* SPDX-License-Identifier: MIT */
/* Processes that have device nodes open. */
#ifndef PROCESSES_H
#define PROCESSES_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "pci.h"

/* The node of a VFIO device's file if the kernel does not say which function it belongs to. */
#define DEVICE_FILE "anon_inode:[vfio-device]"

/**
 * struct opened - a process has a node open, or mapped
 * @pid:	the process
 * @name:	its name
 * @node:	a node such as /dev/vfio/0, or /sys/bus/pci/devices/ADDRESS/resource0; for a VFIO
 *		device's file the function's address, which the kernel tells from Linux 6.17 on, or
 *		DEVICE_FILE
 */
struct opened {
	int pid;
	char name[32];
	char node[64];
};

/**
 * struct processes - open nodes of all visible processes
 * @opened:	the open nodes, sorted by pid
 * @n:		length of @opened
 * @device_files:	number of VFIO device files among them
 * @partial:	this user may not see the files of some processes
 * @one_group:	VFIO has one group only, so each device file is of that group
 */
struct processes {
	struct opened *opened;
	size_t n;
	unsigned int device_files;
	bool partial;
	bool one_group;
};

int processes_read(struct processes *processes);
void processes_free(struct processes *processes);

/* Adds processes that have only a mapping, because the file was closed. This may wait for them. */
int processes_add_mappings(struct processes *processes);
int processes_add(struct processes *processes, int pid, const char *node);

/* Are more functions open than the visible processes have? */
bool processes_miss_some(const struct processes *processes);

/* Does the process have the function? Maybe, if the kernel does not say. */
enum has { HAS_NOT, HAS_MAYBE, HAS };
enum has opened_is_of(const struct processes *processes, const struct opened *opened,
		      const struct function *function);

/* Returns [{"pid", "name", "maybe"}] of the processes that have the function open. */
struct json_object *processes_of(const struct processes *processes,
				 const struct function *function);

/* Does one of them have it for sure? */
bool processes_are_sure(struct json_object *array);

/* Writes "nvme[123], maybe dd[124]", or "". */
void processes_text(char *buf, size_t size, struct json_object *array);

#endif
