/* SPDX-License-Identifier: MIT */
/*
 * modprobe.d's file of bind --persist: what modules are told at boot, BARs that are write-combined
 * among it.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <json-c/json.h>

#include "pci.h"

/* The file, for @functions as they are claimed now, and for those that it has already. */
int options_add(struct tool *tool, struct json_object *changes, const struct functions *functions);

/* A function leaves it; the last one takes it along. */
int options_drop(struct tool *tool, struct json_object *changes, const char *address);
int options_remove(struct tool *tool, struct json_object *changes);

#endif
