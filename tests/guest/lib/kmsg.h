/* SPDX-License-Identifier: MIT */
/* The kernel log since a mark. */
#ifndef TEST_KMSG_H
#define TEST_KMSG_H

/* From here on. 0 or -errno. */
int log_mark(void);

/*
 * The lines since the mark that contain @needle, each ended by a newline; the text is good until
 * the next call. Their number goes to @count, when that is given.
 */
const char *log_lines(const char *needle, unsigned int *count);
unsigned int log_count(const char *needle);

#endif
