/* SPDX-License-Identifier: MIT */
/* The program's open files that are a pagemap. */
#ifndef PRELOAD_FILES_H
#define PRELOAD_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * FILES_NONE: not a pagemap. FILES_OWN: the pagemap of this process. FILES_OTHERS: the pagemap of a
 * process that this one was forked from. This process cannot know its addresses.
 */
enum files { FILES_NONE, FILES_OWN, FILES_OTHERS };

/* Is any pagemap open? The lock is not held. */
bool files_any(void);
/* Call it only if files_any(). The lock is not held. */
enum files files_is(int fd);

/* Could a file that was opened by this name be a pagemap, or a file of a function? */
bool files_may_be(const char *path, int flags);
/* Was a device opened for writing, by whatever name? */
bool files_is_device(int fd, int flags);
/* Adds a file that was opened. After an error the program must not get it. The lock is held. */
int files_opened(int fd, int flags);
/* Adds @to, a duplicate of @fd. Returns and lock as for files_opened(). */
int files_duplicated(int fd, int to);
/* The file descriptor is closed, or is about to be. The lock is not held. */
void files_closed(int fd);

#endif
