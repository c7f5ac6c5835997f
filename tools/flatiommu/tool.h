/* SPDX-License-Identifier: MIT */
/* Parts that all commands share: their description, call and failure. */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Exit status of every command for wrong usage; 1 is failure, unless the command has another one.
 */
#define EXIT_USAGE 3

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/**
 * struct tool - what one call of the command carries along
 * @json:	print JSON
 * @pretty:	for people to read
 * @error:	of fail(), or ""
 * @cure:	of cure(), or ""
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
 * struct args - what a command was called with
 * @values:	of each of its flags: NULL when not given, "" when it takes no value
 * @words:	what is no option, ended by NULL
 * @nr_words:	how many
 */
struct args {
	const char *values[FLAGS_MAX];
	char **words;
	int nr_words;
};

/**
 * struct command - one command
 * @name:	what is typed
 * @words:	its arguments, as shown in its usage
 * @summary:	in a line
 * @flags:	ended by an empty one, or NULL
 * @min_words:	at least
 * @max_words:	at most
 * @verbatim:	the first word and what follows belong to another program
 * @failure:	exit status of a failure, if not 1
 * @run:	0, or -errno after fail(), or an exit status
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
	version_command;

/*
 * Keeps the message for main(), which prints the last one, and returns @err. It must name the
 * object.
 */
int fail(struct tool *tool, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The one command that cures the problem of fail(), or NULL; call it before fail(). */
void cure(struct tool *tool, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
