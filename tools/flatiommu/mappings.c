// SPDX-License-Identifier: MIT
/* Processes that have mapped a function's BARs, and closed its file. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "processes.h"
#include "wait.h"

static bool is_mapping(const char *line)
{
	return strstr(line, " " DEVICE_FILE) || strstr(line, " /dev/vfio/devices/");
}

/* Reads the maps of all processes. A process that is mapping or unmapping delays the reader. */
static int find_mappings(const void *arg, int answer)
{
	struct names pids;
	size_t i;

	(void)arg;
	names_read(&pids, "/proc");
	for (i = 0; i < pids.n; i++) {
		char *maps, *line, *rest;

		if (!isdigit((unsigned char)pids.name[i][0]))
			continue;
		maps = file_text("/proc/%s/maps", pids.name[i]);
		for (line = maps ? strtok_r(maps, "\n", &rest) : NULL; line;
		     line = strtok_r(NULL, "\n", &rest))
			if (is_mapping(line))
				dprintf(answer, "%s %s\n", pids.name[i], strrchr(line, ' ') + 1);
		free(maps);
	}
	names_free(&pids);
	return 0;
}

static bool has_file(const struct processes *processes, int pid)
{
	size_t i;

	for (i = 0; i < processes->n; i++)
		if (processes->opened[i].pid == pid &&
		    (!strncmp(processes->opened[i].node, "/dev/vfio/", 10) ||
		     !strcmp(processes->opened[i].node, DEVICE_FILE)))
			return true;
	return false;
}

static int by_pid(const void *a, const void *b)
{
	const struct opened *left = a, *right = b;

	return left->pid < right->pid ? -1 : left->pid > right->pid;
}

int processes_add_mappings(struct processes *processes)
{
	char *text, *line, *rest = NULL;
	int ret;

	ret = wait_for(LOOK_SECONDS, find_mappings, NULL, &text);
	if (ret) {
		free(text);
		processes->partial = true;
		return ret == -ENOMEM ? ret : 0;
	}
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char node[64];
		int pid;

		/* if it has a group's node open, the mapping is most likely of that group */
		if (sscanf(line, "%d %63s", &pid, node) != 2 || has_file(processes, pid))
			continue;
		processes->device_files++;
		processes_add(processes, pid, node);
	}
	free(text);
	qsort(processes->opened, processes->n, sizeof(*processes->opened), by_pid);
	return 0;
}
