/* SPDX-License-Identifier: MIT */
/* The module's files, and what its errors mean. */
#ifndef FLAT_H
#define FLAT_H

#include <json-c/json.h>
#include <stdbool.h>

#include "tool.h"

#define FLAT_FILES "/sys/class/misc/flatiommu"
#define FLAT_PARAMETERS "/sys/module/flatiommu/parameters"

bool flat_is_loaded(void);

/* @wc: BARs to hold write-combined, such as 2+4, or NULL. */
int flat_claim(struct tool *tool, const char *address, const char *wc);
int flat_release(struct tool *tool, const char *address);

/* Processes that were refused maps, latest first, or NULL when that cannot be seen. */
struct json_object *flat_refusals(void);

#endif
