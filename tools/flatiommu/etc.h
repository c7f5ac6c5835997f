/* SPDX-License-Identifier: MIT */
/* Files in /etc that bind --persist makes. */
#ifndef ETC_H
#define ETC_H

#include <json-c/json.h>

#include "tool.h"

/* The first line of each file. */
#define MADE "# Made by flatiommu bind --persist; flatiommu unbind removes it.\n"

/* Makes or replaces a file, and the directory that it is in. */
int etc_write(struct tool *tool, struct json_object *changes, const char *directory,
	      const char *path, const char *text);

/* Removes a file. A missing file is no error. */
int etc_remove(struct tool *tool, struct json_object *changes, const char *path);

#endif
