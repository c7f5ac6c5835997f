/* SPDX-License-Identifier: MIT */
/*
 * Blocks of a chunk of memory: powers of two of bytes, each at a multiple of its size. What says
 * which are free is not in the chunk, which devices write to.
 */
#ifndef LIB_BUDDY_H
#define LIB_BUDDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUDDY_UNIT	64ul			/* the smallest block, of order 0 */
#define BUDDY_ORDERS	16
#define BUDDY_CHUNK	(BUDDY_UNIT << (BUDDY_ORDERS - 1))
#define BUDDY_PAGE	6			/* order of the blocks that it begins with */
#define BUDDY_UNITS	(1u << (BUDDY_ORDERS - 1))
/* A bit for each block of each order, in words: 512 for the lowest, 1 at least. */
#define BUDDY_WORDS	(1023 + BUDDY_ORDERS - 10)

/* May the two halves of this block be one? Asked of blocks above BUDDY_PAGE only. */
typedef bool buddy_question(const void *arg, size_t offset, unsigned int order);

struct buddy {
	buddy_question *is_whole;
	const void *arg;
	size_t taken;				/* bytes */
	unsigned int nr_free[BUDDY_ORDERS];
	uint64_t free[BUDDY_WORDS];
	/* Of the taken block that begins with this unit, its order and 1; else 0. */
	uint8_t order[BUDDY_UNITS];
};

/* All free. @buddy is all zero. */
void buddy_begin(struct buddy *buddy, buddy_question *is_whole, const void *arg);
/* The offset of a block, or -1: there is none. */
ptrdiff_t buddy_alloc(struct buddy *buddy, unsigned int order);
/* The order of the block that is taken and begins there, or -1. */
int buddy_order(const struct buddy *buddy, size_t offset);
void buddy_free(struct buddy *buddy, size_t offset);

#endif
