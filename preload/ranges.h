/* SPDX-License-Identifier: MIT */
/*
 * The table of pinned memory: ranges of pages that do not overlap, by address. To find, add or
 * remove one of n ranges takes O(log n). It has its own allocator and does not call malloc().
 */
#ifndef PRELOAD_RANGES_H
#define PRELOAD_RANGES_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct pin - a pin of /dev/flatiommu
 * @id:		its number there
 * @refs:	number of ranges that belong to it
 * @pages:	number of pinned pages
 * @live:	number of these pages that are in ranges
 * @frame:	frame of the first page if the pages are contiguous, else NO_FRAME
 * @shared:	shared memory: the kernel may unmap its pages for a while, though they are pinned
 * @made:	number of the call of pins_answer() that made it
 */
struct pin {
	uint32_t id;
	bool shared;
	uint64_t refs;
	uint64_t pages;
	uint64_t live;
	uint64_t frame;
	uint64_t made;
};

#define NO_FRAME UINT64_MAX

/**
 * struct range - pages of the program's memory, all of them of one pin
 * @start:	number of the first page
 * @end:	number of the page after the last one
 * @pin:	the pin that the pages are in
 * @offset:	index of the first page in the pin
 * @left:	for the table, like the members after it
 */
struct range {
	uint64_t start, end;
	struct pin *pin;
	uint64_t offset;
	struct range *left, *right;
	uint32_t priority;
};

/* Returns the range that contains the page, or the first one after it, or NULL. */
struct range *ranges_from(uint64_t page);
/* Returns the range that contains the page, or NULL. */
struct range *ranges_at(uint64_t page);
/*
 * May there be a range in [start, end)? The lock is not needed: if another thread is adding one there,
 * such as by reading ahead, the next answer of these pages finds that they have changed.
 */
bool ranges_may_have(uint64_t start, uint64_t end);
/* Adds a range, which overlaps no other one. */
void ranges_add(struct range *range);
void ranges_remove(struct range *range);
/* Removes all ranges and pins from the table, without calls of the kernel. */
void ranges_forget(void);

/* Returns NULL if there is no memory. */
struct range *range_new(void);
void range_free(struct range *range);
struct pin *pin_new(void);
void pin_free(struct pin *pin);

#endif
