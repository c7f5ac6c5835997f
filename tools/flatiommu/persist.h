/* SPDX-License-Identifier: MIT */
/*
 * Bindings that survive a reboot: a rule of udev's for each function, which minds what is at the
 * address by then, and modules-load.d and modprobe.d for what it needs.
 */
#ifndef PERSIST_H
#define PERSIST_H

#include <json-c/json.h>

#include "pci.h"
#include "sysfs.h"

#define PERSIST_RULES "/etc/udev/rules.d/99-flatiommu-bind.rules"

/* Checks whether it is possible, before anything is changed. */
int persist_check(struct tool *tool, bool without_iommu);

int persist_add(struct tool *tool, struct json_object *changes, const struct functions *functions,
		bool without_iommu);

/* Nothing to remove is no error. */
int persist_remove(struct tool *tool, struct json_object *changes, const char *address);

/* Is this function bound at boot? Not if it is another device than the one that was bound. */
bool is_persistent(const char *address);

/* "1b36:0010": only this device is bound at this address at boot. Returns false if none is. */
bool persistent_id(char *id, size_t size, const char *address);

/* The addresses at which a device is bound at boot; names_free() them. */
void persistent_read(struct names *addresses);

#endif
