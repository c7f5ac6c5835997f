/* SPDX-License-Identifier: MIT */
/* To examine the machine as another process: with its view and its rights. */
#ifndef PROCESS_H
#define PROCESS_H

#include "tool.h"

/*
 * This process goes on with the user, groups, capabilities, root directory and namespaces of mounts,
 * processes and users of @pid, for good; its limits and cgroup stay. 0, or -errno after fail().
 */
int process_become(struct tool *tool, const char *pid);

#endif
