/* SPDX-License-Identifier: MIT */
/*
 * The file of bind --persist in modprobe.d: the modules' parameters at boot, such as the options of
 * claims.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <json-c/json.h>

#include "pci.h"

/* Adds @functions to the file, as they are claimed now. */
int options_add(struct tool *tool, struct json_object *changes, const struct functions *functions);

/* Removes a function from the file, and the file after the last one. */
int options_drop(struct tool *tool, struct json_object *changes, const char *address);
int options_remove(struct tool *tool, struct json_object *changes);

#endif
