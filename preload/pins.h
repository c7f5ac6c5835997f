/* SPDX-License-Identifier: MIT */
/* The pins, and answers from them. The lock is held. */
#ifndef PRELOAD_PINS_H
#define PRELOAD_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits of an entry of pagemap: Documentation/admin-guide/mm/pagemap.rst */
#define ENTRY_FRAME	((1ull << 55) - 1)
#define ENTRY_SHARED	(1ull << 61)
#define ENTRY_PRESENT	(1ull << 63)

/*
 * Changes @entries of pages from @page on, as pagemap has them now, to those that the program gets.
 * A page that is present gets pinned, and its entry has the frame of its bus address. If it cannot
 * be pinned, its entry says "not present".
 */
void pins_answer(uint64_t page, uint64_t *entries, size_t n);

/* Ends the pins of pages from @start to @end: they are not the program's any more. */
void pins_drop(uint64_t start, uint64_t end);
/* The pages from @from to @end are at @to now. */
void pins_move(uint64_t from, uint64_t end, uint64_t to);
/* Drops pages that are not mapped any more. @all: also pages that were replaced by others. */
void pins_sweep(bool all);
/* In a child: it has no pins yet. */
void pins_forget(void);

#endif
