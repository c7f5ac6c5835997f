/* SPDX-License-Identifier: MIT */
/* The kernel log since a mark. */
#ifndef TEST_KMSG_H
#define TEST_KMSG_H

/* Sets the mark. Returns 0 or -errno. */
int log_mark(void);

/*
 * Returns the lines since the mark that contain @needle, each with its newline. The text is valid
 * until the next call. @count, if not NULL, gets their number.
 */
const char *log_lines(const char *needle, unsigned int *count);
unsigned int log_count(const char *needle);

#endif
