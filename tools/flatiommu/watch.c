// SPDX-License-Identifier: MIT
/*
 * flatiommu status --watch: prints a line for each change.
 *
 * It compares each function with its last state when the kernel reports an event, and once a
 * second, because not every change has an event. It opens no node and takes no device's lock, so it
 * never disturbs programs.
 */
#include "watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "events.h"
#include "output.h"
#include "processes.h"
#include "wait.h"

/* Milliseconds between two looks */
#define LOOK_LATEST 1000
#define LOOK_SOONEST 100

static void set_driver(struct watch *watch, const char *address, struct json_object *f,
		       const char *driver)
{
	const char *before = get_string(f, "driver");
	struct json_object *o;

	if (!strcmp(before ? before : "", driver))
		return;
	if (before) {
		o = line_of("unbound", address);
		put_string(o, "driver", before);
		tell(watch, o);
	}
	put_string(f, "driver", driver);
	if (!*driver)
		return;
	o = line_of("bound", address);
	put_string(o, "driver", driver);
	tell(watch, o);
}

/* Reports a claim or release. @group is the claim's group, or -1. */
static void set_claim(struct watch *watch, const char *address, struct json_object *f, int group)
{
	struct json_object *o, *before = get(f, "group");

	if ((before ? json_object_get_int(before) : -1) == group)
		return;
	if (before)
		tell(watch, line_of("released", address));
	json_object_object_add(f, "group", group < 0 ? NULL : json_object_new_int(group));
	if (group < 0)
		return;
	o = line_of("claimed", address);
	put_number(o, "group", group);
	tell(watch, o);
}

static int claim_of(const struct function *f)
{
	return f->behind == BEHIND_FLATIOMMU ? f->group : -1;
}

static bool has_pid(struct json_object *array, struct json_object *process)
{
	size_t i;

	for (i = 0; array && i < json_object_array_length(array); i++)
		if (json_object_equal(get(json_object_array_get_idx(array, i), "pid"), get(process, "pid")))
			return true;
	return false;
}

/* Reports members of @array that are not in @others. */
static void tell_opens(struct watch *watch, const char *event, const char *address,
		       struct json_object *array, struct json_object *others)
{
	size_t i;

	for (i = 0; array && i < json_object_array_length(array); i++) {
		struct json_object *process = json_object_array_get_idx(array, i), *o;

		if (has_pid(others, process))
			continue;
		o = line_of(event, address);
		put_string(o, "name", get_string(process, "name"));
		json_object_object_add(o, "pid", json_object_get(get(process, "pid")));
		json_object_object_add(o, "maybe", json_object_get(get(process, "maybe")));
		tell(watch, o);
	}
}

static struct json_object *known(struct watch *watch, const char *address)
{
	struct json_object *f = get(watch->functions, address);

	if (!f) {
		f = json_object_new_object();
		json_object_object_add(watch->functions, address, f);
		tell(watch, line_of("added", address));
	}
	return f;
}

static void forget(struct watch *watch, const char *address)
{
	struct json_object *f = get(watch->functions, address);

	if (!f)
		return;
	tell_opens(watch, "closed", address, get(f, "open_by"), NULL);
	set_driver(watch, address, f, "");
	set_claim(watch, address, f, -1);
	tell(watch, line_of("gone", address));
	json_object_object_del(watch->functions, address);
}

static void set_claim_now(struct watch *watch, const char *address)
{
	struct function f;

	/* a release has an event of its own */
	if (!function_read(&f, address) && claim_of(&f) >= 0)
		set_claim(watch, address, known(watch, address), claim_of(&f));
}

/* Reports events in their order, also of functions that are gone before the next look. */
static void take(struct watch *watch, const struct event *event)
{
	switch (event->kind) {
	case EVENT_ADDED:
		known(watch, event->address);
		break;
	case EVENT_GONE:
		forget(watch, event->address);
		break;
	case EVENT_BOUND:
		set_claim_now(watch, event->address);
		set_driver(watch, event->address, known(watch, event->address), event->driver);
		break;
	case EVENT_UNBOUND:
		set_driver(watch, event->address, known(watch, event->address), "");
		break;
	case EVENT_CLAIMED:
		set_claim_now(watch, event->address);
		break;
	case EVENT_RELEASED:
		set_claim(watch, event->address, known(watch, event->address), -1);
		break;
	}
}

static bool is_there(const struct functions *functions, const char *address)
{
	size_t i;

	for (i = 0; i < functions->n; i++)
		if (!strcmp(functions->function[i].address, address))
			return true;
	return false;
}

static void look_at(struct watch *watch, const struct function *f,
		    const struct processes *processes)
{
	struct json_object *o = known(watch, f->address), *now = processes_of(processes, f);
	const char *driver = get_string(o, "driver");

	tell_opens(watch, "closed", f->address, get(o, "open_by"), now);
	if (driver && strcmp(driver, f->driver))
		set_driver(watch, f->address, o, "");
	set_claim(watch, f->address, o, claim_of(f));
	set_driver(watch, f->address, o, f->driver);
	tell_opens(watch, "opened", f->address, now, get(o, "open_by"));
	json_object_object_add(o, "open_by", now);
}

/* Reads all functions. If an event comes meanwhile, reports it and reads them again. */
static int scan(struct watch *watch, struct events *events, struct functions *functions)
{
	struct event event;
	int tries, ret;

	for (tries = 0; tries < 10; tries++) {
		while (events_next(events, &event))
			take(watch, &event);
		ret = functions_scan(functions);
		if (ret || !events_next(events, &event))
			return ret;
		functions_free(functions);
		take(watch, &event);
	}
	return -EAGAIN;
}

static void look_at_functions(struct watch *watch, struct events *events,
			      const struct processes *processes)
{
	struct functions functions = { 0 };
	size_t i;

	if (scan(watch, events, &functions))
		goto free;
	/* the loop allows deleting the current member */
	json_object_object_foreach(watch->functions, address, value) {
		(void)value;
		if (!is_there(&functions, address))
			forget(watch, address);
	}
	for (i = 0; i < functions.n; i++)
		look_at(watch, &functions.function[i], processes);
free:
	functions_free(&functions);
}

static void begin(struct watch *watch, bool partial)
{
	struct json_object *o = line("watching");
	int claimed = 0;

	json_object_object_foreach(watch->functions, address, f) {
		(void)address;
		claimed += get(f, "group") != NULL;
	}
	put_number(o, "functions", json_object_object_length(watch->functions));
	put_number(o, "claimed", claimed);
	put_string(o, "hint", partial ? "; other users' programs, and refusals, are shown to root" : NULL);
	watch->begun = true;
	tell(watch, o);
}

static void look(struct watch *watch, struct events *events)
{
	struct processes processes;

	processes_read(&processes);
	look_at_functions(watch, events, &processes);
	watch_pins(watch, &processes);
	watch_refusals(watch);
	if (!watch->begun)
		begin(watch, processes.partial);
	processes_free(&processes);
}

/* Returns false to end the watch. */
static bool wait_for_change(struct watch *watch, struct events *events)
{
	long long begun = milliseconds(), until = begun + LOOK_LATEST, now;
	struct event event;

	while ((now = milliseconds()) < until) {
		switch (events_wait(events, until - now)) {
		case EVENTS_END:
			return false;
		case EVENTS_OPENED:
			until = begun + LOOK_SOONEST;
			break;
		case EVENTS_OTHER:
			break;
		}
		while (events_next(events, &event)) {
			take(watch, &event);
			until = begun + LOOK_SOONEST;
		}
	}
	return true;
}

int watch(struct tool *tool)
{
	struct watch watch = {
		.tool = tool,
		.functions = json_object_new_object(),
		.processes = json_object_new_object(),
		.refused = json_object_new_object(),
	};
	struct events events;
	int ret = events_open(tool, &events);

	if (ret)
		goto put;
	do {
		events_watch_nodes(&events);
		look(&watch, &events);
	} while (!ferror(stdout) && wait_for_change(&watch, &events));
	events_close(&events);
put:
	json_object_put(watch.functions);
	json_object_put(watch.processes);
	json_object_put(watch.refused);
	return ret;
}
