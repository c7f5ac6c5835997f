// SPDX-License-Identifier: MIT
#include "tool.h"

#include <stdarg.h>
#include <stdio.h>

int tool_fail(struct tool *tool, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(tool->error, sizeof(tool->error), fmt, args);
	va_end(args);
	return err;
}

void cure(struct tool *tool, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(tool->cure, sizeof(tool->cure), fmt, args);
	va_end(args);
}
