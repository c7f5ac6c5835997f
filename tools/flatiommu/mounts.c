// SPDX-License-Identifier: MIT
#include "mounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sysfs.h"

/* 36 35 98:0 ROOT POINT rw,noatime master:1 - TYPE SOURCE OPTIONS; zero or more fields master:1. */
static bool parse(char *line, struct mount *m)
{
	char *dash = strstr(line, " - "), *rest;

	if (!dash)
		return false;
	*dash = 0;
	strtok_r(line, " ", &rest);
	strtok_r(NULL, " ", &rest);
	strtok_r(NULL, " ", &rest);
	m->root = strtok_r(NULL, " ", &rest);
	m->point = strtok_r(NULL, " ", &rest);
	m->type = strtok_r(dash + 3, " ", &rest);
	strtok_r(NULL, " ", &rest);
	m->options = strtok_r(NULL, " ", &rest);
	if (!m->root || !m->point || !m->type || !m->options)
		return false;
	octal_unescape(m->root);
	octal_unescape(m->point);
	return true;
}

bool mount_next(char **text, struct mount *m)
{
	char *line;

	while (*text && (line = strsep(text, "\n")))
		if (parse(line, m))
			return true;
	return false;
}

const char *mount_option(const struct mount *m, const char *name)
{
	size_t len = strlen(name);
	const char *option = m->options;

	for (; option; option = strchr(option, ',')) {
		option += *option == ',';
		if (!strncmp(option, name, len) && option[len] == '=')
			return option + len + 1;
	}
	return NULL;
}
