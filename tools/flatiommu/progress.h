/* SPDX-License-Identifier: MIT */
/* Progress of long commands, on a terminal. */
#ifndef PROGRESS_H
#define PROGRESS_H

/*
 * A command that takes more than a second says so in the last line of the terminal, and for how many seconds. progress_end()
 * before anything else is printed.
 */
void progress_begin(const char *command);
void progress_end(void);

/* The same for a step of the command, until progress_done(). */
void progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void progress_done(void);

#endif
