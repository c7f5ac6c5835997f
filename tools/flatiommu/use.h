/* SPDX-License-Identifier: MIT */
/* How the parts of uses_of() report their findings. */
#ifndef USE_H
#define USE_H

#include <json-c/json.h>
#include <stdbool.h>

#include "layers.h"
#include "pci.h"
#include "processes.h"

/**
 * struct look - one look at what uses a function
 * @uses:	what was found, as uses.h has it
 * @function:	the function
 * @processes:	who has what open
 */
struct look {
	struct json_object *uses;
	const struct function *function;
	const struct processes *processes;
};

/**
 * struct use - a use
 * @kind:	a word
 * @what:	the disk or interface that it is of
 * @noted:	nothing has it, but it will be missed: bind says so, and goes on
 * @text:	by use_say()
 * @cure:	by use_cure(), or ""
 */
struct use {
	const char *kind;
	const char *what;
	bool noted;
	char text[2048];
	char cure[2048];
};

void use_say(struct use *use, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void use_cure(struct use *use, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* @chain: from the function's own disk or interface up, by layers_chain(), or NULL; it is taken. */
void use_add(const struct look *look, const struct use *use, struct json_object *chain);

/* For a shell, which takes it as one word. */
void shell_quote(char *to, size_t size, const char *text);

/* Is the device of sysfs the function's own, or below it? */
bool is_below(const struct look *look, const char *path);

void look_at_disks(const struct look *look);

/* Call it last: it goes from one network namespace to the next. */
void look_at_network(const struct look *look);

/* The interface of the caller's login from another machine. */
void look_at_login(const struct look *look, const struct layers *interfaces);

#endif
