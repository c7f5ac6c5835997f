// SPDX-License-Identifier: MIT
/* The lines that report changes. */
#include "watch.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "output.h"

/* The text of each event, with members of its object in braces. */
static const struct {
	const char *event, *text;
} lines[] = {
	{ "watching", "watching {functions} functions, {claimed} claimed{hint}" },
	{ "added", "{address} is there" },
	{ "gone", "{address} is gone" },
	{ "claimed", "{address} claimed, group {group}" },
	{ "released", "{address} released" },
	{ "bound", "{address} bound to {driver}" },
	{ "unbound", "{address} unbound from {driver}" },
	{ "opened", "{address} opened by {name}[{pid}]" },
	{ "closed", "{address} closed by {name}[{pid}]" },
	{ "pinned", "{name}[{pid}] pinned {bytes} bytes, {total} in all" },
	{ "unpinned", "{name}[{pid}] unpinned {bytes} bytes, {total} in all" },
	{ "refused", "{address} {name}[{pid}] refused {maps} maps, {total} in all: {cause}; {cure}" },
};

static const char *text_of(const char *event)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lines) - 1 && strcmp(lines[i].event, event); i++)
		;
	return lines[i].text;
}

/* Prints a text on one line: a name may have any bytes. */
static void put_text(const char *text)
{
	for (; text && *text; text++)
		putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
}

static void line_text(const struct tool *tool, struct json_object *o)
{
	const char *text = text_of(get_string(o, "event"));
	char key[32];
	int n;

	(void)tool;
	printf("%s ", get_string(o, "time"));
	for (; *text; text++) {
		if (sscanf(text, "{%31[a-z]}%n", key, &n) != 1) {
			putchar(*text);
			continue;
		}
		put_text(get_string(o, key));
		text += n - 1;
	}
	puts("");
}

struct json_object *line(const char *event)
{
	struct json_object *o = json_object_new_object();
	char seconds[32], text[64];
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(seconds, sizeof(seconds), "%FT%T", gmtime_r(&now.tv_sec, &tm));
	snprintf(text, sizeof(text), "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
	put_string(o, "time", text);
	put_string(o, "event", event);
	return o;
}

void tell(struct watch *watch, struct json_object *o)
{
	if (!watch->begun) {
		json_object_put(o);
		return;
	}
	show(watch->tool, o, line_text);
	fflush(stdout);
}

struct json_object *line_of(const char *event, const char *address)
{
	struct json_object *o = line(event);

	put_string(o, "address", address);
	return o;
}
