/* SPDX-License-Identifier: MIT */
/* Which of the program's files are its own pagemap. */
#ifndef PRELOAD_FILES_H
#define PRELOAD_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * FILES_NONE: it is not one. FILES_OWN: it is, of this process. FILES_OTHERS: of a process that
 * this one was forked from, whose addresses it cannot tell.
 */
enum files { FILES_NONE, FILES_OWN, FILES_OTHERS };

/* Is there any? Without the lock. */
bool files_any(void);
/* Without the lock, where files_any(). */
enum files files_is(int fd);

/* Could a file that was opened by this name be one, or a function's? */
bool files_may_be(const char *path, int flags);
/* It was opened. 0 or -errno: then nobody may get it. The lock is held. */
int files_opened(int fd, int flags);
/* @to is another number of @fd. The same. */
int files_duplicated(int fd, int to);
/* The number is free, or will be. Without the lock. */
void files_closed(int fd);

#endif
