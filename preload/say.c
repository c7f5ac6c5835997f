// SPDX-License-Identifier: MIT
#include "say.h"

#include <stdarg.h>
#include <stdio.h>

#include "raw.h"

/*
 * A program that asks for all of its memory gets as many answers, and nobody reads as many
 * lines.
 */
#define MOST_LINES 20

static int nr_lines;

void say(const char *fmt, ...)
{
	static const char head[] = "flatiommu: pagemap: ", last[] = "; more is not told";
	char line[512];
	va_list args;
	int n, err = errno;

	/* threads that say something at once may come to one more */
	if (nr_lines++ >= MOST_LINES) {
		nr_lines = MOST_LINES;
		return;
	}
	n = snprintf(line, sizeof(line), "%s", head);
	va_start(args, fmt);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, args);
	va_end(args);
	if (n > (int)(sizeof(line) - sizeof(last)))
		n = (int)(sizeof(line) - sizeof(last));
	n += snprintf(line + n, sizeof(line) - (size_t)n, "%s\n", nr_lines == MOST_LINES ? last : "");
	raw(SYS_write, STDERR_FILENO, line, n);
	errno = err;
}
