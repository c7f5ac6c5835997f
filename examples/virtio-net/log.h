/* SPDX-License-Identifier: MIT */
/*
 * One line on stderr for a person: what went wrong, with which thing, and the cure.
 */
#ifndef EXAMPLE_LOG_H
#define EXAMPLE_LOG_H

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 1, 2)))
static inline void log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	flockfile(stderr);
	fputs("virtio-net: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	funlockfile(stderr);
	va_end(args);
}

#endif
