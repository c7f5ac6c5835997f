/* SPDX-License-Identifier: MIT */
/* Progress of long commands, on a terminal. */
#ifndef PROGRESS_H
#define PROGRESS_H

/*
 * Shows the command and its seconds in the last line of the terminal, if it runs longer than a
 * second. Call progress_end() before anything else is printed.
 */
void progress_begin(const char *command);
void progress_end(void);

/* Shows a step of the command, too, until progress_done(). */
void progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void progress_done(void);

#endif
