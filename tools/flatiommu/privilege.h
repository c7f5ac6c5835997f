/* SPDX-License-Identifier: MIT */
/* Privileges of this process. */
#ifndef PRIVILEGE_H
#define PRIVILEGE_H

#include <stdbool.h>
#include <linux/capability.h>

#include "tool.h"

/*
 * Is this another user namespace than the initial one? Its root has capabilities that no driver
 * checks.
 */
bool in_user_namespace(void);

/* Has this process the capability, as drivers check it? */
bool has_capability(int capability);

/* Writes why this process lacks the capability @name, and who can grant it. */
void lack_text(char *buf, size_t size, int capability, const char *name);

/* Fails unless this process may change what drives PCI functions. */
int need_privilege(struct tool *tool, const char *command);

#endif
