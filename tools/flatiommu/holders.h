/* SPDX-License-Identifier: MIT */
/* Programs that block a change to a function. */
#ifndef HOLDERS_H
#define HOLDERS_H

#include "pci.h"

struct processes;

/*
 * Fails with -EBUSY where anybody has a function open by VFIO or UIO, also where no process shows
 * it: a file on its way through a socket has it, too.
 */
int check_unused(struct tool *tool, const struct function *function, struct processes *processes);

/*
 * Takes it from its driver; from VFIO only if it is not open, and so that no program can open it
 * meanwhile.
 */
int take_unused(struct tool *tool, const struct function *function);

/*
 * Fails with -ETIMEDOUT: the kernel has not finished. The message names the program that it waits
 * for.
 */
int fail_waiting(struct tool *tool, const char *address);

#endif
