/* SPDX-License-Identifier: MIT */
/* What takes long, to whoever looks at a terminal. */
#ifndef PROGRESS_H
#define PROGRESS_H

/*
 * A command that takes more than a second says so in the last line of the terminal, and for how many seconds. progress_end()
 * before anything else is printed.
 */
void progress_begin(const char *command);
void progress_end(void);

/* The same of a step of it, until progress_done(). */
void progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void progress_done(void);

#endif
