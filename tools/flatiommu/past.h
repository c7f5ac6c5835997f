/* SPDX-License-Identifier: MIT */
/* Events of functions, which the module keeps. */
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
 * @n:		number of @events
 * @kept:	number of events that the module keeps of a function
 * @lost:	number of earlier events of the function, which the module does not keep any more
 * @since:	events before this time may be lost; 0: no event is
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

/* Gets all events that the module keeps of a function. */
int past_of(struct tool *tool, int file, const char *address, struct past *past);

/* Gets all events of the memory at a physical address. */
int past_who(struct tool *tool, int file, unsigned long long address, struct past *past);

/* Writes the address of an event's function. */
void event_device(char *buf, size_t size, const struct flatiommu_event *event);

/* Writes a time in local time. Returns @buf, or NULL if @boot_time is 0. */
const char *event_time(char *buf, size_t size, unsigned long long boot_time);

/* Writes the name of an event's process, made printable. */
void event_process(char *buf, size_t size, const struct flatiommu_event *event);

/* Adds an event to @array. */
void put_event(struct json_object *array, const struct flatiommu_event *event);

/* Copies an array of put_event() as rows of a table, which has processes as NAME[ID]. */
struct json_object *event_rows(struct json_object *events);

#endif
