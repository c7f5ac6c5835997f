/* SPDX-License-Identifier: MIT */
/*
 * Bindings that survive a reboot: a udev rule for each function, which checks that the same device
 * is at the address, and files in modules-load.d and modprobe.d for the modules.
 */
#ifndef PERSIST_H
#define PERSIST_H

#include <json-c/json.h>

#include "pci.h"
#include "sysfs.h"

#define PERSIST_RULES "/etc/udev/rules.d/99-flatiommu-bind.rules"

/* Checks that bindings can survive a reboot here, before anything is changed. */
int persist_check(struct tool *tool, bool without_iommu);

int persist_add(struct tool *tool, struct json_object *changes, const struct functions *functions,
		bool without_iommu);

/* Removes a binding. It is no error if there is none. */
int persist_remove(struct tool *tool, struct json_object *changes, const char *address);

/* Is this function bound at boot? Not if it is another device than the one that was bound. */
bool is_persistent(const char *address);

/* Writes the ids, such as "1b36:0010", of the device that is bound at this address at boot. */
bool persistent_id(char *id, size_t size, const char *address);

/* Gets the addresses at which a device is bound at boot, for names_free(). */
void persistent_read(struct names *addresses);

#endif
