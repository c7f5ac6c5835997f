/* SPDX-License-Identifier: MIT */
/* flatiommu run --fault: reports the accesses that an IOMMU blocks while a program runs. */
#ifndef RUN_FAULT_H
#define RUN_FAULT_H

#include <stdbool.h>

#include "pci.h"
#include "tool.h"

/* Exit status if there were faults. */
#define EXIT_FAULT 66

/* Fails unless a program can have a function whose faults can be reported. */
int check_faults(struct tool *tool, const struct functions *functions);

/*
 * Forks. In the child, which then becomes the program, sets *@child and returns 0. In the parent,
 * returns when the child has ended: its exit status, EXIT_FAULT, or -errno after tool_fail().
 */
int watch_faults(struct tool *tool, bool *child);

#endif
