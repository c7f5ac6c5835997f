/* SPDX-License-Identifier: MIT */
#ifndef PRELOAD_SAY_H
#define PRELOAD_SAY_H

/* Prints a line, given without a newline, on standard error; only the first MOST_LINES ones. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
