// SPDX-License-Identifier: MIT
#include "past.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "../../module/address.h"
#include "ko.h"
#include "output.h"
#include "privilege.h"

int past_open(struct tool *tool, const char *command)
{
	char lack[400];
	int file;

	if (!flat_is_loaded())
		return tool_fail(tool, -ENOENT, "%s: the module is not loaded, so it keeps no history",
				 command);
	file = flat_open();
	if (file >= 0)
		return file;
	if (file != -EPERM && file != -EACCES)
		return tool_fail(tool, file, "%s: " FLAT_NODE ": %s", command, strerror(-file));
	if (geteuid() && !in_user_namespace())
		cure(tool, "sudo flatiommu %s", command);
	lack_text(lack, sizeof(lack), CAP_SYS_RAWIO, "CAP_SYS_RAWIO");
	return tool_fail(tool, file, "%s: " FLAT_NODE ": %s", command,
			 has_capability(CAP_SYS_RAWIO) ? strerror(-file) : lack);
}

/* Makes room for @n events. */
static int grow(struct past *past, size_t n)
{
	struct flatiommu_event *events = realloc(past->events, n * sizeof(*events));

	if (!events)
		return -ENOMEM;
	past->events = events;
	return 0;
}

static const char no_history[] =
	"the module keeps no history: set its parameter history= before the function is claimed";

static const char older[] = "the module that is loaded is older, and keeps no history";

#define AT_ONCE 4096

static int read_history(int file, const char *address, struct past *past)
{
	struct flatiommu_history arg = { .size = sizeof(arg), .nr_events = AT_ONCE };
	struct flat_address a;
	int ret;

	if (!flat_parse_address(address, &a))
		return -ENODEV;
	arg.function.segment = a.segment;
	arg.function.bus = a.bus;
	arg.function.devfn = a.slot << 3 | a.function;
	do {
		ret = grow(past, past->n + AT_ONCE);
		if (ret)
			return ret;
		arg.nr_events = AT_ONCE;
		arg.events = (uintptr_t)(past->events + past->n);
		if (ioctl(file, FLATIOMMU_HISTORY, &arg))
			return -errno;
		/* later events may be lost, too, if new ones push them out meanwhile */
		if (!past->n)
			past->lost = arg.first;
		past->n += arg.nr_events;
		past->kept = arg.out_size;
		arg.first += arg.nr_events;
	} while (arg.nr_events == AT_ONCE);
	past->since = past->lost && past->n ? past->events[0].time : 0;
	return 0;
}

int past_of(struct tool *tool, int file, const char *address, struct past *past)
{
	int ret = read_history(file, address, past);

	switch (ret) {
	case 0:
		return 0;
	case -ENOENT:
		cure(tool, "flatiommu list %s", address);
		return tool_fail(tool, ret, "%s: it is not claimed, and history ends with the claim",
				 address);
	case -ENODATA:
		return tool_fail(tool, ret, "%s: %s", address, no_history);
	case -ENOTTY:
		cure(tool, "flatiommu version");
		return tool_fail(tool, ret, "%s: %s", address, older);
	default:
		return tool_fail(tool, ret, "%s: %s", address, strerror(-ret));
	}
}

static int read_who(int file, unsigned long long address, struct past *past)
{
	struct flatiommu_who arg = {
		.size = sizeof(arg),
		.out_events = 64,
		.address = address,
		.length = 1,
	};
	int ret;

	do {
		/* more may be recorded meanwhile */
		arg.nr_events = arg.out_events + 64;
		ret = grow(past, arg.nr_events);
		if (ret)
			return ret;
		arg.events = (uintptr_t)past->events;
		if (ioctl(file, FLATIOMMU_WHO, &arg))
			return -errno;
	} while (arg.out_events > arg.nr_events);
	past->n = arg.nr_events;
	past->since = arg.out_since;
	return 0;
}

int past_who(struct tool *tool, int file, unsigned long long address, struct past *past)
{
	int ret = read_who(file, address, past);
	char lack[400];

	switch (ret) {
	case 0:
		return 0;
	case -EPERM:
		lack_text(lack, sizeof(lack), CAP_SYS_ADMIN, "CAP_SYS_ADMIN");
		return tool_fail(tool, ret, "0x%llx: %s", address, lack);
	case -ENODATA:
		return tool_fail(tool, ret, "0x%llx: %s", address, no_history);
	case -ENOTTY:
		cure(tool, "flatiommu version");
		return tool_fail(tool, ret, "0x%llx: %s", address, older);
	default:
		return tool_fail(tool, ret, "0x%llx: %s", address, strerror(-ret));
	}
}

void event_device(char *buf, size_t size, const struct flatiommu_event *event)
{
	snprintf(buf, size, "%04x:%02x:%02x.%x", event->function.segment, event->function.bus,
		 event->function.devfn >> 3, event->function.devfn & 7);
}

#define NSEC_PER_SEC 1000000000LL

static long long nanoseconds(clockid_t clock)
{
	struct timespec t = { 0 };

	clock_gettime(clock, &t);
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

const char *event_time(char *buf, size_t size, unsigned long long boot_time)
{
	static long long since_boot;
	char day[32];
	struct tm tm;
	time_t s;
	long long t;

	if (!boot_time)
		return NULL;
	/* the same for all events of one output */
	if (!since_boot)
		since_boot = nanoseconds(CLOCK_REALTIME) - nanoseconds(CLOCK_BOOTTIME);
	t = since_boot + (long long)boot_time;
	s = t / NSEC_PER_SEC;
	localtime_r(&s, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, size, "%s.%06lld", day, t % NSEC_PER_SEC / 1000);
	return buf;
}

void event_process(char *buf, size_t size, const struct flatiommu_event *event)
{
	size_t i;

	snprintf(buf, size, "%.*s", (int)sizeof(event->process), event->process);
	for (i = 0; buf[i]; i++)
		if (buf[i] < ' ' || buf[i] > '~')
			buf[i] = '?';
}

static const char *const types[] = {
	[FLATIOMMU_EVENT_MAP] = "map",
	[FLATIOMMU_EVENT_UNMAP] = "unmap",
	[FLATIOMMU_EVENT_REFUSE] = "refuse",
	[FLATIOMMU_EVENT_PIN] = "pin",
	[FLATIOMMU_EVENT_UNPIN] = "unpin",
	[FLATIOMMU_EVENT_FENCE] = "fence",
	[FLATIOMMU_EVENT_STOP] = "stop",
	[FLATIOMMU_EVENT_ATTACH] = "attach",
	[FLATIOMMU_EVENT_DETACH] = "detach",
	[FLATIOMMU_EVENT_HOLD] = "hold",
	[FLATIOMMU_EVENT_RELEASE] = "release",
};

/* Adds an address, or null if it is 0: there is none, or it is hidden. */
static void put_address_or_null(struct json_object *o, const char *key, unsigned long long address)
{
	if (address)
		put_address(o, key, address);
	else
		put_string(o, key, NULL);
}

void put_event(struct json_object *array, const struct flatiommu_event *e)
{
	struct json_object *o = add_object(array);
	char text[64];

	put_string(o, "time", event_time(text, sizeof(text), e->time));
	put_number(o, "boottime", (long long)e->time);
	event_device(text, sizeof(text), e);
	put_string(o, "device", text);
	put_string(o, "event", e->type < ARRAY_SIZE(types) ? types[e->type] : NULL);
	event_process(text, sizeof(text), e);
	put_string(o, "process", text);
	put_number(o, "pid", e->pid);
	put_address_or_null(o, "at", e->at);
	put_address_or_null(o, "address", e->address);
	if (e->length)
		put_number(o, "length", (long long)e->length);
	else
		put_string(o, "length", NULL);
}

struct json_object *event_rows(struct json_object *events)
{
	struct json_object *rows = NULL, *row;
	char text[64];
	size_t i;

	json_object_deep_copy(events, &rows, NULL);
	for (i = 0; i < json_object_array_length(rows); i++) {
		row = json_object_array_get_idx(rows, i);
		snprintf(text, sizeof(text), "%.20s[%s]", get_string(row, "process") ? : "",
			 get_string(row, "pid"));
		put_string(row, "process", text);
	}
	return rows;
}
