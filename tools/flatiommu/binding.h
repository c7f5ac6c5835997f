/* SPDX-License-Identifier: MIT */
/*
 * Binds one function to vfio-pci and gives it back. The records of record.h make interruptions
 * safe.
 */
#ifndef BINDING_H
#define BINDING_H

#include <json-c/json.h>

#include "pci.h"
#include "record.h"

struct options;

/* @options: of a claim. After a failure call put_back(). */
int bind_function(struct tool *tool, struct json_object *changes, const struct function *function,
		  const struct options *options);

/*
 * Must the driver be unbound to undo the bind? If the function is claimed, another tool's driver
 * must be, too.
 */
bool has_to_be_taken(const struct function *function, const struct record *record);

/* Undoes bind_function(), from any step of it, and from any step of its own. */
int put_back(struct tool *tool, struct json_object *changes, const struct record *record);

#endif
