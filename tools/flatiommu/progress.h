/* SPDX-License-Identifier: MIT */
/* What this waits for, to whoever looks at a terminal. */
#ifndef PROGRESS_H
#define PROGRESS_H

/*
 * What follows may take long: if it takes more than a second, the last line of the terminal says so, and for how many
 * seconds. progress_end() before anything else is printed.
 */
void progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void progress_end(void);

#endif
