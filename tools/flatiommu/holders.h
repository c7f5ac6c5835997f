/* SPDX-License-Identifier: MIT */
/* Programs that block a change to a function. */
#ifndef HOLDERS_H
#define HOLDERS_H

#include "pci.h"

struct processes;

/*
 * Fails with -EBUSY if a program has a function open by VFIO or UIO, even if no process shows it: a
 * file that is being passed through a socket keeps it open, too.
 */
int check_unused(struct tool *tool, const struct function *function, struct processes *processes);

/*
 * As check_unused(), for the virtual functions of a function: the removal of one waits until no
 * program has it open.
 */
int check_vfs_unused(struct tool *tool, const struct function *function,
		     struct processes *processes);

/*
 * Unbinds a function from its driver; from VFIO only if it is not open. No program can open it
 * meanwhile.
 */
int take_unused(struct tool *tool, const struct function *function);

/*
 * Fails with -ETIMEDOUT because the kernel has not finished. The message names the program that the
 * kernel waits for.
 */
int fail_waiting(struct tool *tool, const char *address);

#endif
