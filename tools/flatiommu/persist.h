/* SPDX-License-Identifier: MIT */
/*
 * Bindings that survive a reboot: driverctl's file a function, modules-load.d and modprobe.d for what it needs then, and
 * a rule of udev's that holds driverctl back where another device is at the address by then.
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

/* Is it bound at boot? Not one that is another device than the one that was bound. */
bool is_persistent(const struct function *function);

/* "1b36:0010", which alone is bound at this address at boot; false when nothing is, or whatever is there. */
bool persistent_id(char *id, size_t size, const char *address);

/* The functions that persist_add() has made persistent and that still are; names_free() them. */
void persistent_read(struct names *addresses);

#endif
