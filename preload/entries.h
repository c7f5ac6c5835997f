/* SPDX-License-Identifier: MIT */
/* Bytes of pagemap, as they were read, become those that the program gets. */
#ifndef PRELOAD_ENTRIES_H
#define PRELOAD_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From a read of the file itself: whole entries, and of now. The lock is held. */
void entries_answer(void *bytes, size_t n, uint64_t offset, bool own);
/* From a buffer, of whatever time, and of any length. The lock is held. */
void entries_answer_anew(void *bytes, size_t n, uint64_t offset, bool own);

#endif
