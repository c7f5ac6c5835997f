/* SPDX-License-Identifier: MIT */
/*
 * Prints one line on stderr for a person: the step that failed, with which thing, and the cure. Any
 * thread may call it. Needs _GNU_SOURCE, for the program's name.
 */
#ifndef EXAMPLE_LOG_H
#define EXAMPLE_LOG_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 1, 2)))
static inline void log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	flockfile(stderr);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	funlockfile(stderr);
	va_end(args);
}

#endif
