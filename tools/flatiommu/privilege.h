/* SPDX-License-Identifier: MIT */
/* What this process may do. */
#ifndef PRIVILEGE_H
#define PRIVILEGE_H

#include <stdbool.h>
#include <linux/capability.h>

#include "tool.h"

/* Another one than that of the machine: its root has capabilities that no driver asks for. */
bool in_user_namespace(void);

/* As drivers ask for it. */
bool has_capability(int capability);

/* Why this process has not the capability @name, and who can give it. */
void lack_text(char *buf, size_t size, int capability, const char *name);

/* Fails unless this process may change what drives PCI functions. */
int need_privilege(struct tool *tool, const char *command);

#endif
