/* SPDX-License-Identifier: MIT */
/* Parts that all commands share: their description, call and failure. */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Exit status of every command for wrong usage. The status of a failure is 1, or the command's own.
 */
#define EXIT_USAGE 3

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/**
 * struct tool - the state of the command
 * @json:	print JSON
 * @pretty:	print JSON with line breaks
 * @error:	message of tool_fail(), or ""
 * @cure:	command of cure(), or ""
 */
struct tool {
	bool json;
	bool pretty;
	char error[512];
	char cure[512];
};

#define FLAGS_MAX 8

/**
 * struct flag - an option of a command
 * @name:	without the dashes
 * @takes:	name of its value, or NULL
 * @help:	what it does, in a line
 */
struct flag {
	const char *name;
	const char *takes;
	const char *help;
};

/**
 * struct args - arguments of a command
 * @values:	value of each flag: NULL if it was not given, "" if it has no value
 * @words:	arguments that are not options, ended by NULL
 * @nr_words:	number of @words
 */
struct args {
	const char *values[FLAGS_MAX];
	char **words;
	int nr_words;
};

/**
 * struct command - one command
 * @name:	its name
 * @words:	its arguments, for the usage
 * @summary:	what it does, in a line
 * @flags:	its options, ended by an empty one, or NULL
 * @min_words:	least number of words
 * @max_words:	greatest number of words
 * @verbatim:	from the first word on, the arguments belong to another program
 * @failure:	exit status of a failure, if not 1
 * @run:	runs it; returns 0, -errno after tool_fail(), or an exit status
 */
struct command {
	const char *name;
	const char *words;
	const char *summary;
	const struct flag *flags;
	int min_words;
	int max_words;
	bool verbatim;
	int failure;
	int (*run)(struct tool *tool, const struct args *args);
};

extern const struct command list_command, status_command, claim_command, release_command,
	bind_command, unbind_command, run_command, doctor_command, addresses_command,
	history_command, who_command, version_command;

/*
 * Keeps the message for main(), which prints the last one, and returns @err. It must name the
 * object.
 */
int tool_fail(struct tool *tool, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Sets the command that cures the problem of tool_fail(), or NULL. Call it before tool_fail(). */
void cure(struct tool *tool, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
