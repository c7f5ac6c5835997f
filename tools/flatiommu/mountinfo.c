// SPDX-License-Identifier: MIT
#include "mountinfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sysfs.h"

/* 36 35 98:0 ROOT POINT rw,noatime master:1 - TYPE SOURCE OPTIONS; zero or more fields master:1. */
static bool parse(char *line, struct mountinfo *m)
{
	char *dash = strstr(line, " - "), *rest;

	if (!dash)
		return false;
	*dash = 0;
	strtok_r(line, " ", &rest);
	strtok_r(NULL, " ", &rest);
	m->number = strtok_r(NULL, " ", &rest);
	m->root = strtok_r(NULL, " ", &rest);
	m->point = strtok_r(NULL, " ", &rest);
	/* SOURCE may be empty. */
	rest = dash + 3;
	m->type = strsep(&rest, " ");
	m->source = strsep(&rest, " ");
	m->options = strsep(&rest, " ");
	if (!m->root || !m->point || !m->options)
		return false;
	octal_unescape(m->root);
	octal_unescape(m->point);
	octal_unescape(m->source);
	return true;
}

bool mountinfo_next(char **text, struct mountinfo *m)
{
	char *line;

	while (*text && (line = strsep(text, "\n")))
		if (parse(line, m))
			return true;
	return false;
}

const char *mountinfo_option(const struct mountinfo *m, const char *name)
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
