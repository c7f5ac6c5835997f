// SPDX-License-Identifier: MIT
/* flatiommu doctor: checks the machine and its functions, and names a cure for each problem. */
#include "doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "process.h"
#include "sysfs.h"

enum { PID, RUN };

static const struct flag doctor_flags[] = {
	[PID] = { "pid", "PID", "check as that process: with its user, its limits and its container" },
	[RUN] = { "run", NULL, "also attach each DEVICE, try it, and detach it" },
	{ NULL, NULL, NULL }
};

static const char *const states[] = {
	[OK] = "ok",
	[NOTE] = "note",
	[UNSEEN] = "unseen",
	[WARNING] = "warning",
	[PROBLEM] = "problem",
};

void say(struct doctor *doctor, enum verdict verdict, const char *fmt, ...)
{
	struct json_object *o = add_object(doctor->lines);
	char text[2048];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	put_string(o, "check", doctor->check);
	put_string(o, "function", doctor->subject ? doctor->subject->address : NULL);
	put_string(o, "state", states[verdict]);
	put_string(o, "text", text);
	put_string(o, "cure", doctor->cure);
	doctor->cure[0] = 0;
	if (verdict > doctor->worst && verdict != NOTE)
		doctor->worst = verdict;
}

static void format_cure(struct doctor *doctor, const char *fmt, va_list args)
{
	vsnprintf(doctor->cure, sizeof(doctor->cure), fmt, args);
}

void mend_here(struct doctor *doctor, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	format_cure(doctor, fmt, args);
	va_end(args);
}

/* Quotes @text as one word of a shell. */
static void quote(char *buf, size_t size, const char *text)
{
	size_t len = 1;

	buf[0] = '\'';
	for (; *text && len + 6 < size; text++)
		len += snprintf(buf + len, size - len, *text == '\'' ? "'\\''" : "%c", *text);
	snprintf(buf + len, size - len, "'");
}

void mend(struct doctor *doctor, const char *fmt, ...)
{
	char command[sizeof(doctor->cure)], word[sizeof(doctor->cure)];
	va_list args;

	va_start(args, fmt);
	format_cure(doctor, fmt, args);
	va_end(args);
	if (!geteuid())
		return;
	memcpy(command, doctor->cure, sizeof(command));
	quote(word, sizeof(word) - 16, command);
	if (strpbrk(command, "><&|;*"))
		snprintf(doctor->cure, sizeof(doctor->cure), "sudo sh -c %.1000s", word);
	else
		snprintf(doctor->cure, sizeof(doctor->cure), "sudo %.1000s", command);
}

static void line_text(struct json_object *line)
{
	static const enum colour colours[] = {
		[OK] = GREEN, [NOTE] = PLAIN, [UNSEEN] = YELLOW, [WARNING] = YELLOW,
		[PROBLEM] = RED,
	};
	const char *state = get_string(line, "state"), *step = get_string(line, "cure");
	size_t i;

	for (i = 0; strcmp(states[i], state); i++)
		;
	colour(stdout, colours[i]);
	printf("%-8s", state);
	colour(stdout, PLAIN);
	printf("  %-11s  %s\n", get_string(line, "check"), get_string(line, "text"));
	if (step)
		printf("%21s  > %s\n", "", step);
}

static void doctor_text(const struct tool *tool, struct json_object *what)
{
	struct json_object *lines = get(what, "checks");
	const char *last = NULL;
	size_t i;

	(void)tool;
	for (i = 0; i < json_object_array_length(lines); i++) {
		struct json_object *line = json_object_array_get_idx(lines, i);
		const char *address = get_string(line, "function");

		if (address && (!last || strcmp(address, last))) {
			colour(stdout, BOLD);
			printf("%s\n", address);
			colour(stdout, PLAIN);
		}
		last = address;
		line_text(line);
	}
}

void run_checks(struct doctor *doctor, const struct check *checks)
{
	for (; checks->name; checks++) {
		doctor->check = checks->name;
		checks->run(doctor);
	}
}

static int doctor_run(struct tool *tool, const struct args *args)
{
	struct doctor doctor = { .worst = OK };
	struct functions named = { 0 };
	struct json_object *what;
	char name[32] = "";
	size_t i;
	int ret;

	if (args->values[RUN] && !args->nr_words) {
		cure(tool, "flatiommu help doctor");
		return tool_fail(tool, -EINVAL, "doctor: --run is for devices that are named");
	}
	ret = args->nr_words ? functions_named(tool, &named, args) : 0;
	if (ret)
		return ret;
	doctor.lines = json_object_new_array();
	doctor.pid = args->values[PID];
	doctor.named = named.n;
	processes_read(&doctor.processes);
	functions_scan(&doctor.functions);
	memory_read(&doctor.memory, doctor.pid ? doctor.pid : "self");
	started_read(&doctor.started, doctor.pid ? doctor.pid : "self");
	if (doctor.pid) {
		file_read(name, sizeof(name), "/proc/%s/comm", doctor.pid);
		make_printable(name);
		/* from here on, checks see what that process sees */
		ret = process_become(tool, doctor.pid);
		if (ret)
			return ret;
		doctor.check = "process";
		say(&doctor, OK, "%s[%s], of user %u", name, doctor.pid, geteuid());
	}
	for (i = 0; i < doctor.functions.n; i++)
		doctor.behind[doctor.functions.function[i].behind]++;
	run_checks(&doctor, machine_checks);
	for (i = 0; i < named.n; i++) {
		doctor.subject = &named.function[i];
		run_checks(&doctor, function_checks);
		if (args->values[RUN])
			doctor_try(&doctor);
	}
	what = json_object_new_object();
	json_object_object_add(what, "checks", doctor.lines);
	put_string(what, "worst", states[doctor.worst]);
	show(tool, what, doctor_text);
	processes_free(&doctor.processes);
	functions_free(&doctor.functions);
	functions_free(&named);
	return doctor.worst == PROBLEM ? 2 : doctor.worst == OK ? 0 : 1;
}

const struct command doctor_command = {
	.name = "doctor",
	.words = "[DEVICE...]",
	.summary = "say what works on this machine and with a device, and how to cure the rest",
	.flags = doctor_flags,
	.max_words = 1000,
	.failure = EXIT_USAGE,
	.run = doctor_run,
};
