/* SPDX-License-Identifier: MIT */
/*
 * A buddy allocator for a chunk of memory. Each block has a power of two of bytes, and is aligned
 * to its size. The allocator's state is not in the chunk, because devices write to the chunk.
 */
#ifndef LIB_BUDDY_H
#define LIB_BUDDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUDDY_UNIT	64ul			/* the smallest block, of order 0 */
#define BUDDY_ORDERS	16
#define BUDDY_CHUNK	(BUDDY_UNIT << (BUDDY_ORDERS - 1))
#define BUDDY_PAGE	6			/* order of the blocks of a new chunk */
#define BUDDY_UNITS	(1u << (BUDDY_ORDERS - 1))
/* Words with a bit for each block of each order: 512 for order 0, at least 1 for each order. */
#define BUDDY_WORDS	(1023 + BUDDY_ORDERS - 10)

/* May the two halves of this block be one block? Called for orders above BUDDY_PAGE only. */
typedef bool buddy_question(const void *arg, size_t offset, unsigned int order);

struct buddy {
	buddy_question *is_whole;
	const void *arg;
	size_t taken;				/* bytes */
	unsigned int nr_free[BUDDY_ORDERS];
	uint64_t free[BUDDY_WORDS];
	/* If a taken block begins with this unit: its order plus 1; else 0. */
	uint8_t order[BUDDY_UNITS];
};

/* Makes all blocks free. @buddy is all zero. */
void buddy_begin(struct buddy *buddy, buddy_question *is_whole, const void *arg);
/* Returns the offset of a block, or -1 if there is none. */
ptrdiff_t buddy_alloc(struct buddy *buddy, unsigned int order);
/* Returns the order of the taken block that begins at @offset, or -1. */
int buddy_order(const struct buddy *buddy, size_t offset);
void buddy_free(struct buddy *buddy, size_t offset);

#endif
