/* SPDX-License-Identifier: MIT */
/* Changes bytes that were read from pagemap to those that the program gets. */
#ifndef PRELOAD_ENTRIES_H
#define PRELOAD_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For a read of the file itself: whole entries, just read. The lock is held. */
void entries_answer(void *bytes, size_t n, uint64_t offset, bool own);
/* For bytes that stdio may have read earlier: reads the entries again. The lock is held. */
void entries_answer_anew(void *bytes, size_t n, uint64_t offset, bool own);

#endif
