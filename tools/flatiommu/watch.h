/* SPDX-License-Identifier: MIT */
/* status --watch: reports changes as they happen. */
#ifndef WATCH_H
#define WATCH_H

#include <json-c/json.h>
#include <stdbool.h>

#include "processes.h"
#include "tool.h"

/**
 * struct watch - state at the last look
 * @functions:	{ADDRESS: {"driver", "group" of its claim or null, "open_by"}}
 * @processes:	{PID: as in pins_of_processes()}
 * @refused:	{PID: number of refused maps}
 * @begun:	the first look is over
 */
struct watch {
	struct tool *tool;
	struct json_object *functions, *processes, *refused;
	bool begun;
};

/*
 * Runs until a signal, or until standard output is closed. Returns 0, or -errno after tool_fail().
 */
int watch(struct tool *tool);

/* watch-lines.c: makes a line, maybe about a function; the caller adds the members of its text. */
struct json_object *line(const char *event);
struct json_object *line_of(const char *event, const char *address);

/* Prints the line and frees it, once the watch has begun: existing objects are not reported. */
void tell(struct watch *watch, struct json_object *line);

/* watch-memory.c */
void watch_pins(struct watch *watch, const struct processes *processes);
void watch_refusals(struct watch *watch);

#endif
