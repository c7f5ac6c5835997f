/* SPDX-License-Identifier: MIT */
/* Changes of bind to the whole machine: modules, and VFIO's consent to unsafe interrupts. */
#ifndef MACHINE_H
#define MACHINE_H

#include <json-c/json.h>
#include <stdbool.h>

#include "tool.h"

/*
 * Loads the modules that are needed. For functions @without_iommu also flatiommu, and allows unsafe
 * interrupts.
 */
int machine_prepare(struct tool *tool, struct json_object *changes, bool without_iommu);

/*
 * Lets every user open /dev/flatiommu, which checks CAP_SYS_RAWIO itself. The change is recorded
 * beside those of machine_prepare().
 */
int machine_open_node(struct tool *tool, struct json_object *changes);

/* Undoes these changes, unless a function still needs them. If there are none, that is no error. */
int machine_restore(struct tool *tool, struct json_object *changes);

#endif
