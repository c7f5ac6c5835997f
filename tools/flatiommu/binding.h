/* SPDX-License-Identifier: MIT */
/* One function, to vfio-pci and back; record.h has what makes it safe to be interrupted. */
#ifndef BINDING_H
#define BINDING_H

#include <json-c/json.h>

#include "pci.h"
#include "record.h"

/* @wc: BARs to hold write-combined, or NULL. A failure is half way: put_back() it. */
int bind_function(struct tool *tool, struct json_object *changes, const struct function *function,
		  const char *wc);

/* Does it take its driver away to undo it? That of another tool, too, as long as it is claimed. */
bool has_to_be_taken(const struct function *function, const struct record *record);

/* Undoes bind_function(), from any step of it, and from any step of its own. */
int put_back(struct tool *tool, struct json_object *changes, const struct record *record);

#endif
