/* SPDX-License-Identifier: MIT */
/*
 * Bindings that survive a reboot: driverctl's file a function, and modules-load.d and modprobe.d
 * for what it needs then.
 */
#ifndef PERSIST_H
#define PERSIST_H

#include <json-c/json.h>

#include "pci.h"
#include "sysfs.h"

/* Can it be done? Asked before anything is changed. */
int persist_check(struct tool *tool, bool without_iommu);

int persist_add(struct tool *tool, struct json_object *changes, const struct functions *functions,
		bool without_iommu);

/* Nothing to remove is no error. */
int persist_remove(struct tool *tool, struct json_object *changes, const char *address);

bool is_persistent(const char *address);

/* The functions that persist_add() has made persistent and that still are; names_free() them. */
void persistent_read(struct names *addresses);

#endif
