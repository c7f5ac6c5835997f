// SPDX-License-Identifier: MIT
/*
 * flatiommu who: which functions had memory at a physical address, and whether they may still be
 * writing to it.
 *
 * The events of the memory come from all functions at once; whether a function was stopped since is
 * in the history of that function alone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ko.h"
#include "numbers.h"
#include "output.h"
#include "past.h"

/**
 * struct verdict - what a function may do to the memory
 * @holds:	number of its maps and pins of the memory
 * @kept:	number of those that have ended, but whose memory the module holds
 * @running:	nothing has stopped the function since its latest attach, map or pin
 * @refused:	the latest refusal of a map at this address
 * @held:	the latest map or pin of the memory; if @holds is 0, the latest hold
 * @let_go:	the end of the last map, pin or hold; NULL: the memory is mapped, pinned or held,
 *		or never was
 * @was_running: the function was running at @let_go or @refused
 * @stopped:	the first stop after that, or NULL
 */
struct verdict {
	unsigned int holds, kept;
	bool running;
	const struct flatiommu_event *refused, *held, *let_go;
	bool was_running;
	const struct flatiommu_event *stopped;
};

static bool is_in(unsigned long long start, unsigned long long length, unsigned long long address)
{
	return address >= start && address - start < length;
}

/* Records the end of a map, a pin or a hold. */
static void end_one(struct verdict *v, unsigned int *count, const struct flatiommu_event *e)
{
	/* the event of its beginning may be lost */
	if (*count)
		--*count;
	if (v->holds || v->kept)
		return;
	v->let_go = e;
	v->was_running = v->running;
	v->stopped = NULL;
}

static void add_event(struct verdict *v, const struct flatiommu_event *e,
		      unsigned long long address)
{
	bool is_of_it = is_in(e->address, e->length, address);

	switch (e->type) {
	case FLATIOMMU_EVENT_ATTACH:
		v->running = true;
		break;
	case FLATIOMMU_EVENT_MAP:
	case FLATIOMMU_EVENT_PIN:
		v->running = true;
		if (!is_of_it)
			break;
		v->holds++;
		v->held = e;
		v->let_go = v->stopped = NULL;
		break;
	case FLATIOMMU_EVENT_HOLD:
		if (!is_of_it)
			break;
		v->kept++;
		if (!v->holds)
			v->held = e;
		v->let_go = v->stopped = NULL;
		break;
	case FLATIOMMU_EVENT_UNMAP:
	case FLATIOMMU_EVENT_UNPIN:
		if (is_of_it)
			end_one(v, &v->holds, e);
		break;
	case FLATIOMMU_EVENT_RELEASE:
		if (is_of_it)
			end_one(v, &v->kept, e);
		break;
	case FLATIOMMU_EVENT_REFUSE:
		if (!is_in(e->at, e->length, address))
			break;
		v->refused = e;
		v->was_running = v->running;
		v->stopped = NULL;
		break;
	default:
		v->running = false;
		if (!v->stopped)
			v->stopped = e;
	}
}

/* Puts the state, and the event that led to it. */
static void put_state(struct json_object *o, const struct verdict *v)
{
	const struct flatiommu_event *because = v->holds || v->kept ? v->held :
						v->let_go ? v->let_go : v->refused;
	char text[64];

	put_string(o, "state", v->holds ? "has it" :
		   v->kept ? "held" :
		   v->let_go && !v->was_running ? "stopped" :
		   v->let_go && v->stopped ? "stopped later" :
		   v->let_go ? "running" : "refused");
	put_string(o, "since", because ? event_time(text, sizeof(text), because->time) : NULL);
	if (because)
		event_process(text, sizeof(text), because);
	put_string(o, "process", because ? text : NULL);
	put_number(o, "pid", because ? because->pid : 0);
	put_string(o, "stopped",
		   v->stopped ? event_time(text, sizeof(text), v->stopped->time) : NULL);
}

/* Adds what one function may do to the memory. */
static int judge(struct tool *tool, int file, const char *device, unsigned long long address,
		 struct json_object *functions)
{
	struct verdict v = { .running = true };
	struct past past = { 0 };
	struct json_object *o;
	size_t i;
	int ret;

	ret = past_of(tool, file, device, &past);
	for (i = 0; i < past.n; i++)
		add_event(&v, &past.events[i], address);
	/* the claim may have ended since, or the events were pushed out */
	if (!ret && (v.holds || v.kept || v.let_go || v.refused)) {
		o = add_object(functions);
		put_string(o, "device", device);
		put_state(o, &v);
	}
	free(past.events);
	return ret == -ENOENT ? 0 : ret;
}

static const struct {
	const char *state, *text;
	enum colour colour;
} texts[] = {
	{ "has it", "has it mapped or pinned, and may write to it", YELLOW },
	{ "held",
	  "has let it go, and it is held: nobody else has it, and the device may still write to it", YELLOW },
	{ "running",
	  "has let it go, and nothing has stopped the device since: it may still write to it", RED },
	{ "stopped later",
	  "has let it go while the device was running: it may have written to it until it was stopped",
	  YELLOW },
	{ "stopped", "has let it go when the device was stopped", PLAIN },
	{ "refused",
	  "was refused a map at this address: if the program went on, the device writes to it", RED },
};

static void who_text(const struct tool *tool, struct json_object *what)
{
	static const struct column columns[] = {
		{ "TIME", "time" },	  { "DEVICE", "device" }, { "EVENT", "event" },
		{ "PROCESS", "process" }, { "AT", "at" },	  { "ADDRESS", "address" },
		{ "LENGTH", "length" },	  { NULL, NULL },
	};
	struct json_object *rows = event_rows(get(what, "events")), *o;
	struct json_object *functions = get(what, "functions");
	const char *since = get_string(what, "since"), *stopped;
	size_t i, j;

	(void)tool;
	if (json_object_array_length(rows))
		show_table(rows, columns);
	else
		printf("%s: no device has had it\n", get_string(what, "address"));
	for (i = 0; i < json_object_array_length(functions); i++) {
		o = json_object_array_get_idx(functions, i);
		stopped = get_string(o, "stopped");
		for (j = 0; j < ARRAY_SIZE(texts); j++) {
			if (strcmp(texts[j].state, get_string(o, "state")))
				continue;
			colour(stdout, texts[j].colour);
			printf("%s: since %s %s[%s] %s%s%s\n", get_string(o, "device"),
			       get_string(o, "since"), get_string(o, "process") ? : "",
			       get_string(o, "pid"), texts[j].text, stopped ? ", at " : "",
			       stopped ? : "");
			colour(stdout, PLAIN);
		}
	}
	if (since)
		printf("events before %s may be lost: the module parameter history= is for more\n",
		       since);
	json_object_put(rows);
}

/* Judges each function that has events, once: the events of a function follow each other. */
static int judge_all(struct tool *tool, int file, const struct past *past,
		     unsigned long long address, struct json_object *functions)
{
	char device[PCI_ADDRESS_SIZE] = "", last[PCI_ADDRESS_SIZE];
	size_t i;
	int ret = 0;

	for (i = 0; i < past->n && !ret; i++) {
		snprintf(last, sizeof(last), "%s", device);
		event_device(device, sizeof(device), &past->events[i]);
		if (strcmp(device, last))
			ret = judge(tool, file, device, address, functions);
	}
	return ret;
}

static int earlier(const void *a, const void *b)
{
	const struct flatiommu_event *x = a, *y = b;

	return x->time < y->time ? -1 : x->time > y->time;
}

static int show_who(struct tool *tool, int file, unsigned long long address)
{
	struct json_object *what = json_object_new_object(), *functions, *events;
	struct past past = { 0 };
	char text[64];
	size_t i;
	int ret;

	put_address(what, "address", address);
	functions = put_array(what, "functions");
	events = put_array(what, "events");
	ret = past_who(tool, file, address, &past);
	if (!ret)
		ret = judge_all(tool, file, &past, address, functions);
	if (ret) {
		json_object_put(what);
	} else {
		put_string(what, "since", event_time(text, sizeof(text), past.since));
		if (past.n)
			qsort(past.events, past.n, sizeof(*past.events), earlier);
		for (i = 0; i < past.n; i++)
			put_event(events, &past.events[i]);
		show(tool, what, who_text);
	}
	free(past.events);
	return ret;
}

static int who_run(struct tool *tool, const struct args *args)
{
	unsigned long long address = 0;
	int file, ret;

	ret = parse_number(tool, &address, args->words[0]);
	if (ret)
		return ret;
	file = past_open(tool, "who");
	ret = file < 0 ? file : show_who(tool, file, address);
	flat_close(file);
	return ret;
}

const struct command who_command = {
	.name = "who",
	.words = "ADDRESS",
	.summary = "show which functions had memory at a physical address, and when",
	.min_words = 1,
	.max_words = 1,
	.run = who_run,
};
