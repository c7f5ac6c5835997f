/* SPDX-License-Identifier: MIT */
/*
 * Steps that may sleep in the kernel: while an unbind waits for a program to close the function,
 * any process that wants the same lock sleeps, and no signal wakes it. tools/flatiommu/LOCKS lists
 * files whose use needs the lock. A child runs such a step, and is abandoned after a time limit.
 */
#ifndef WAIT_H
#define WAIT_H

#include "sysfs.h"

/* Time limits for a step that only looks, and for a driver to bind or unbind. */
#define LOOK_SECONDS 3
#define CHANGE_SECONDS 30

/* Returns the time of a monotonic clock. */
long long milliseconds(void);

/* Runs in the child; the text that it writes to @answer is for the parent. Returns 0 or -errno. */
typedef int wait_step(const void *arg, int answer);

/*
 * Returns the result of @step, or -ETIMEDOUT: then the kernel may still finish the step later, and
 * the answer is NULL. The caller frees the answer.
 */
int wait_for(unsigned int seconds, wait_step *step, const void *arg, char **answer);

/* As file_read() and file_write(), with a time limit. */
int file_read_in_time(char *buf, size_t size, const char *fmt, ...) printf_like(3);
int file_write_in_time(const char *text, const char *fmt, ...) printf_like(2);

#endif
