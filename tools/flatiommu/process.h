/* SPDX-License-Identifier: MIT */
/* For examining the machine as another process, with its view and its rights. */
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
