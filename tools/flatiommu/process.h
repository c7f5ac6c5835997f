/* SPDX-License-Identifier: MIT */
/* Lets a command examine the machine with the view and the rights of another process. */
#ifndef PROCESS_H
#define PROCESS_H

#include "tool.h"

/*
 * Gives this process, for good, the user, groups, capabilities, root directory and the mount, PID
 * and user namespaces of @pid. Its own limits and cgroup stay. Returns 0, or -errno after
 * tool_fail().
 */
int process_become(struct tool *tool, const char *pid);

#endif
