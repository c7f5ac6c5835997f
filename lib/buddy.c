// SPDX-License-Identifier: MIT
#include "buddy.h"

/* Returns the number of words of all lower orders. */
static size_t first_word(unsigned int order)
{
	return order < 10 ? 1024 - (1024u >> order) : 1023 + order - 10;
}

static uint64_t *word_of(struct buddy *buddy, unsigned int order, size_t block)
{
	return &buddy->free[first_word(order) + block / 64];
}

static bool is_free(struct buddy *buddy, unsigned int order, size_t block)
{
	return *word_of(buddy, order, block) >> block % 64 & 1;
}

static void set_free(struct buddy *buddy, unsigned int order, size_t block)
{
	*word_of(buddy, order, block) |= 1ull << block % 64;
	buddy->nr_free[order]++;
}

static void clear_free(struct buddy *buddy, unsigned int order, size_t block)
{
	*word_of(buddy, order, block) &= ~(1ull << block % 64);
	buddy->nr_free[order]--;
}

/* Returns the first free block of the order; there is one. */
static size_t first_free(const struct buddy *buddy, unsigned int order)
{
	const uint64_t *words = &buddy->free[first_word(order)];
	size_t i;

	for (i = 0; !words[i]; i++)
		;
	return 64 * i + (size_t)__builtin_ctzll(words[i]);
}

/* Frees a block. Merges it with its buddy as long as that is free and both may be one block. */
static void give_back(struct buddy *buddy, unsigned int order, size_t block)
{
	while (order < BUDDY_ORDERS - 1 && is_free(buddy, order, block ^ 1)) {
		size_t offset = block / 2 * (BUDDY_UNIT << (order + 1));

		if (order >= BUDDY_PAGE && !buddy->is_whole(buddy->arg, offset, order + 1))
			break;
		clear_free(buddy, order, block ^ 1);
		block /= 2;
		order++;
	}
	set_free(buddy, order, block);
}

void buddy_begin(struct buddy *buddy, buddy_question *is_whole, const void *arg)
{
	size_t page;

	buddy->is_whole = is_whole;
	buddy->arg = arg;
	for (page = 0; page < BUDDY_UNITS >> BUDDY_PAGE; page++)
		give_back(buddy, BUDDY_PAGE, page);
}

ptrdiff_t buddy_alloc(struct buddy *buddy, unsigned int order)
{
	unsigned int from = order;
	size_t block;

	while (from < BUDDY_ORDERS && !buddy->nr_free[from])
		from++;
	if (from == BUDDY_ORDERS)
		return -1;
	block = first_free(buddy, from);
	clear_free(buddy, from, block);
	while (from > order) {
		from--;
		block *= 2;
		set_free(buddy, from, block + 1);
	}
	buddy->order[block << order] = (uint8_t)(order + 1);
	buddy->taken += BUDDY_UNIT << order;
	return (ptrdiff_t)(block * (BUDDY_UNIT << order));
}

int buddy_order(const struct buddy *buddy, size_t offset)
{
	if (offset % BUDDY_UNIT || offset >= BUDDY_CHUNK)
		return -1;
	return buddy->order[offset / BUDDY_UNIT] - 1;
}

void buddy_free(struct buddy *buddy, size_t offset)
{
	uint8_t *taken = &buddy->order[offset / BUDDY_UNIT];
	unsigned int order = *taken - 1u;

	*taken = 0;
	buddy->taken -= BUDDY_UNIT << order;
	give_back(buddy, order, offset / (BUDDY_UNIT << order));
}
