/* SPDX-License-Identifier: MIT */
/* Events of functions that the module has kept. */
#ifndef PAST_H
#define PAST_H

#include <json-c/json.h>
#include <linux/flatiommu.h>
#include <stdbool.h>
#include <stddef.h>

#include "pci.h"

/**
 * struct past - events, in the order in which they were recorded
 * @events:	to be freed
 * @n:		how many
 * @kept:	how many the module keeps of a function
 * @lost:	how many of a function were recorded before these, and are not kept any more
 * @since:	events before this time may be lost; 0: none is
 */
struct past {
	struct flatiommu_event *events;
	size_t n;
	unsigned int kept;
	unsigned long long lost;
	unsigned long long since;
};

/* Opens /dev/flatiommu for @command, or fails. Returns the file. */
int past_open(struct tool *tool, const char *command);

/* All that is kept of a function; @address as the module has it. */
int past_of(struct tool *tool, int file, const char *address, struct past *past);

/* All events of the memory at a physical address. */
int past_who(struct tool *tool, int file, unsigned long long address, struct past *past);

/* The function that an event is of. */
void event_device(char *buf, size_t size, const struct flatiommu_event *event);

/* The time of an event by the clock that people use, or NULL for 0. */
const char *event_time(char *buf, size_t size, unsigned long long boot_time);

/* The name of the process, without what a terminal would obey. */
void event_process(char *buf, size_t size, const struct flatiommu_event *event);

/* As JSON, in @array. */
void put_event(struct json_object *array, const struct flatiommu_event *event);

/* Copies an array of put_event() as rows of a table: null, and a process with its id. */
struct json_object *event_rows(struct json_object *events);

#endif
