/* SPDX-License-Identifier: MIT */
#ifndef PRELOAD_SAY_H
#define PRELOAD_SAY_H

/* Prints a line on standard error, and adds a newline. Prints only the first MOST_LINES lines. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The program closes standard error, or opens it again: another file may have its number meanwhile. */
void say_to_nobody(void);
void say_again(void);

#endif
