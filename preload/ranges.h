/* SPDX-License-Identifier: MIT */
/*
 * The table of pinned memory: ranges of pages that do not overlap, by address. Finding, adding and
 * taking out one of n takes O(log n). Its memory is its own; it is not malloc's.
 */
#ifndef PRELOAD_RANGES_H
#define PRELOAD_RANGES_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct pin - a pin of /dev/flatiommu
 * @id:		its name there
 * @refs:	ranges that are of it
 * @pages:	that are pinned
 * @live:	of these, in ranges
 * @frame:	of the first page where the others follow it, else NO_FRAME
 * @shared:	memory that others may map, too; libc unmaps none of it by itself
 * @made:	the answer that it was made for
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
 * @start:	the first page's number
 * @end:	the number of the page behind the last one
 * @pin:	what keeps them
 * @offset:	of the first one in the pin
 * @left:	the table's, as are the others
 */
struct range {
	uint64_t start, end;
	struct pin *pin;
	uint64_t offset;
	struct range *left, *right;
	uint32_t priority;
};

/* The range that the page is in, or the first one behind it, or NULL. */
struct range *ranges_from(uint64_t page);
/* The range that the page is in, or NULL. */
struct range *ranges_at(uint64_t page);
/* May there be any in [start, end)? Also without the lock, when nothing is being added there. */
bool ranges_may_have(uint64_t start, uint64_t end);
/* @range overlaps none that is there. */
void ranges_add(struct range *range);
void ranges_remove(struct range *range);
/* Everything is gone, without a word to the kernel. */
void ranges_forget(void);

/* NULL without memory. */
struct range *range_new(void);
void range_free(struct range *range);
struct pin *pin_new(void);
void pin_free(struct pin *pin);

#endif
