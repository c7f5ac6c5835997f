/* SPDX-License-Identifier: MIT */
/* What bind changes of the whole machine: modules, and VFIO's consent to unsafe interrupts. */
#ifndef MACHINE_H
#define MACHINE_H

#include <json-c/json.h>
#include <stdbool.h>

#include "tool.h"

/* Loads what is needed; for functions @without_iommu flatiommu, too, and interrupts are allowed. */
int machine_prepare(struct tool *tool, struct json_object *changes, bool without_iommu);

/*
 * Lets every user open /dev/flatiommu, which asks for CAP_SYS_RAWIO itself. What is to be put back is
 * kept beside what machine_prepare() has.
 */
int machine_open_node(struct tool *tool, struct json_object *changes);

/* Puts that back, unless a function still needs it. Nothing to put back is no error. */
int machine_restore(struct tool *tool, struct json_object *changes);

#endif
