/* SPDX-License-Identifier: MIT */
/* Privileges of this process. */
#ifndef PRIVILEGE_H
#define PRIVILEGE_H

#include <stddef.h>

#include "../../lib/capability.h"
#include "tool.h"

/* Writes why this process lacks the capability @name, and who can grant it. */
void lack_text(char *buf, size_t size, int capability, const char *name);

/* Fails unless this process may change what drives PCI functions. */
int need_privilege(struct tool *tool, const char *command);

#endif
