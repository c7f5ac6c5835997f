// SPDX-License-Identifier: MIT
#include "say.h"

#include <stdarg.h>
#include <stdio.h>

#include "raw.h"

/*
 * A program that reads the pagemap of all its memory may cause a line for each page. Only the first
 * lines are useful.
 */
#define MOST_LINES 20

static int nr_lines;

void say(const char *fmt, ...)
{
	static const char head[] = "flatiommu: pagemap: ", last[] = "; more is not told";
	char line[512];
	va_list args;
	int n, err = errno;

	/* threads that print at once may print a few more lines */
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
