// SPDX-License-Identifier: MIT
/* Watches pinned memory of programs, and refused maps. */
#include "watch.h"

#include "ko.h"
#include "output.h"
#include "pins.h"

static long long pinned(struct json_object *process)
{
	return process ? json_object_get_int64(get(process, "locked")) +
			 json_object_get_int64(get(process, "pinned")) : 0;
}

static void tell_pins(struct watch *watch, struct json_object *process, long long before,
		      long long now)
{
	struct json_object *o;

	if (before == now)
		return;
	o = line(now > before ? "pinned" : "unpinned");
	put_string(o, "name", get_string(process, "name"));
	json_object_object_add(o, "pid", json_object_get(get(process, "pid")));
	put_number(o, "bytes", now > before ? now - before : before - now);
	put_number(o, "total", now);
	tell(watch, o);
}

void watch_pins(struct watch *watch, const struct processes *processes)
{
	struct json_object *array = pins_of_processes(processes), *now = json_object_new_object();
	size_t i;

	for (i = 0; i < json_object_array_length(array); i++) {
		struct json_object *process = json_object_array_get_idx(array, i);
		const char *pid = get_string(process, "pid");

		tell_pins(watch, process, pinned(get(watch->processes, pid)), pinned(process));
		json_object_object_add(now, pid, json_object_get(process));
	}
	json_object_object_foreach(watch->processes, pid, process) {
		if (!get(now, pid))
			tell_pins(watch, process, pinned(process), 0);
	}
	json_object_put(watch->processes);
	watch->processes = now;
	json_object_put(array);
}

/* Reports new refusals of one program, with function and cause of the latest one. */
static void tell_refusals(struct watch *watch, struct json_object *refused)
{
	long long before = json_object_get_int64(get(watch->refused, get_string(refused, "pid")));
	long long now = json_object_get_int64(get(refused, "refused"));
	struct json_object *o;

	if (before == now)
		return;
	o = line_of("refused", get_string(refused, "device"));
	put_string(o, "name", get_string(refused, "name"));
	json_object_object_add(o, "pid", json_object_get(get(refused, "pid")));
	/* if the count is lower, another process had this ID before */
	put_number(o, "maps", now > before ? now - before : now);
	put_number(o, "total", now);
	put_string(o, "cause", get_string(refused, "cause"));
	put_string(o, "cure", get_string(refused, "cure"));
	tell(watch, o);
}

void watch_refusals(struct watch *watch)
{
	struct json_object *array = flat_refusals(), *now = json_object_new_object();
	size_t i;

	for (i = 0; array && i < json_object_array_length(array); i++) {
		struct json_object *refused = json_object_array_get_idx(array, i);
		const char *pid = get_string(refused, "pid");

		/* the first one is the latest process with this ID */
		if (get(now, pid))
			continue;
		tell_refusals(watch, refused);
		json_object_object_add(now, pid, json_object_get(get(refused, "refused")));
	}
	json_object_put(watch->refused);
	watch->refused = now;
	json_object_put(array);
}
