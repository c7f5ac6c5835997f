/* SPDX-License-Identifier: MIT */
/* What is pinned, and the answers that come from it. The lock is held. */
#ifndef PRELOAD_PINS_H
#define PRELOAD_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of an entry of pagemap: Documentation/admin-guide/mm/pagemap.rst */
#define ENTRY_FRAME	((1ull << 55) - 1)
#define ENTRY_SHARED	(1ull << 61)
#define ENTRY_PRESENT	(1ull << 63)

/*
 * @entries of pages from @page on, as pagemap has them now, become those that the program gets:
 * what is present is pinned from here on, and has the frame of its bus address, or is not present.
 */
void pins_answer(uint64_t page, uint64_t *entries, size_t n);

/* The pages from @start to @end are not the program's any more. */
void pins_drop(uint64_t start, uint64_t end);
/* The pages from @from to @end are at @to now. */
void pins_move(uint64_t from, uint64_t end, uint64_t to);
/* Lets go of what is not mapped any more. All: also where other memory may be there by now. */
void pins_sweep(bool all);
/* This is a child: it has none. */
void pins_forget(void);

#endif
