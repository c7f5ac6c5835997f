/* SPDX-License-Identifier: MIT */
/* How the parts of uses_of() report their findings. */
#ifndef USE_H
#define USE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "layers.h"
#include "pci.h"
#include "processes.h"

/**
 * struct look - one search for uses of a function
 * @uses:	the uses found, as in uses.h
 * @function:	the function
 * @processes:	processes that have device nodes open
 */
struct look {
	struct json_object *uses;
	const struct function *function;
	const struct processes *processes;
};

/**
 * struct use - a use
 * @kind:	one of the words in uses.h
 * @what:	the disk or interface that is used
 * @noted:	not in use, but will be missed: bind warns and goes on
 * @always:	bind refuses, also with --force
 * @text:	set by use_say()
 * @cure:	set by use_cure(), or ""
 */
struct use {
	const char *kind;
	const char *what;
	bool noted, always;
	char text[2048];
	char cure[2048];
};

void use_say(struct use *use, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void use_cure(struct use *use, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Adds a use. It owns @chain: layers_chain() from the function's disk or interface up, or NULL. */
void use_add(const struct look *look, const struct use *use, struct json_object *chain);

/* Quotes @text as one word of a shell. */
void shell_quote(char *to, size_t size, const char *text);

/* Is the device in sysfs the function's own, or below it? */
bool is_below(const struct look *look, const char *path);

/* As stat(), for the node that the process has open: it is in the process's own /dev. */
bool node_stat(const struct opened *opened, struct stat *st);

void look_at_disks(const struct look *look);
void look_at_shares(const struct look *look);
void look_below(const struct look *look);

/* Call it last: it goes from one network namespace to the next. */
void look_at_network(const struct look *look);

/* Adds a use if the caller has logged in from another machine over one of the interfaces. */
void look_at_login(const struct look *look, const struct layers *interfaces);

#endif
