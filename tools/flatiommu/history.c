// SPDX-License-Identifier: MIT
/* flatiommu history: the latest maps, pins and stops of a function, and their processes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ko.h"
#include "output.h"
#include "past.h"
#include "privilege.h"

static void history_text(const struct tool *tool, struct json_object *what)
{
	static const struct column columns[] = {
		{ "TIME", "time" }, { "EVENT", "event" },     { "PROCESS", "process" },
		{ "AT", "at" },	    { "ADDRESS", "address" }, { "LENGTH", "length" },
		{ NULL, NULL },
	};
	struct json_object *rows = event_rows(get(what, "events"));

	(void)tool;
	show_table(rows, columns);
	printf("%s: %zu events, and %s before them that were not kept; the latest %s are\n",
	       get_string(what, "device"), json_object_array_length(rows), get_string(what, "lost"),
	       get_string(what, "kept"));
	if (get_string(what, "hidden"))
		printf("addresses are hidden: %s\n", get_string(what, "hidden"));
	json_object_put(rows);
}

static int show_history(struct tool *tool, int file, const char *address)
{
	struct past past = { 0 };
	struct json_object *what, *events;
	char lack[400] = "";
	size_t i;
	int ret;

	ret = past_of(tool, file, address, &past);
	if (!ret) {
		what = json_object_new_object();
		put_string(what, "device", address);
		put_number(what, "kept", past.kept);
		put_number(what, "lost", (long long)past.lost);
		if (!has_capability(CAP_SYS_ADMIN))
			lack_text(lack, sizeof(lack), CAP_SYS_ADMIN, "CAP_SYS_ADMIN");
		put_string(what, "hidden", lack);
		events = put_array(what, "events");
		for (i = 0; i < past.n; i++)
			put_event(events, &past.events[i]);
		show(tool, what, history_text);
	}
	free(past.events);
	return ret;
}

static int history_run(struct tool *tool, const struct args *args)
{
	struct functions functions = { 0 };
	int file, ret;

	ret = functions_named(tool, &functions, args);
	if (!ret && functions.n != 1) {
		cure(tool, "flatiommu list %s", args->words[0]);
		ret = tool_fail(tool, -EINVAL, "%s: there are %zu of that kind", args->words[0],
				functions.n);
	}
	if (!ret) {
		file = past_open(tool, "history");
		ret = file < 0 ? file : show_history(tool, file, functions.function[0].address);
		flat_close(file);
	}
	functions_free(&functions);
	return ret;
}

const struct command history_command = {
	.name = "history",
	.words = "DEVICE",
	.summary = "show the latest maps, pins and stops of a function",
	.min_words = 1,
	.max_words = 1,
	.run = history_run,
};
