// SPDX-License-Identifier: MIT
/* A treap: a binary tree by address, and a heap by a random priority, which keeps it flat. */
#include "ranges.h"

#include <stdatomic.h>

#include "raw.h"

/* An allocator for structs of one kind. Free ones are in a list. */
struct pool {
	size_t size;
	void *free;
	struct block *blocks;
};

#define BLOCK_SIZE (1ul << 16)

struct block {
	struct block *next;
	char things[];
};

static struct pool range_pool = { .size = sizeof(struct range) };
static struct pool pin_pool = { .size = sizeof(struct pin) };
static struct range *root;
/* All ranges are between these. */
static _Atomic uint64_t lowest = UINT64_MAX, highest;

static void put_back(struct pool *pool, void *thing)
{
	*(void **)thing = pool->free;
	pool->free = thing;
}

static void *take(struct pool *pool)
{
	struct block *block;
	void *thing;
	size_t at;

	if (!pool->free) {
		block = raw_memory(BLOCK_SIZE);
		if (!block)
			return NULL;
		block->next = pool->blocks;
		pool->blocks = block;
		for (at = 0; at + pool->size <= BLOCK_SIZE - sizeof(*block); at += pool->size)
			put_back(pool, block->things + at);
	}
	thing = pool->free;
	pool->free = *(void **)thing;
	return thing;
}

static void drain(struct pool *pool)
{
	struct block *block;

	while ((block = pool->blocks)) {
		pool->blocks = block->next;
		raw_free(block, BLOCK_SIZE);
	}
	pool->free = NULL;
}

struct range *range_new(void)
{
	struct range *range = take(&range_pool);

	if (range)
		*range = (struct range){ 0 };
	return range;
}

void range_free(struct range *range)
{
	put_back(&range_pool, range);
}

struct pin *pin_new(void)
{
	struct pin *pin = take(&pin_pool);

	if (pin)
		*pin = (struct pin){ 0 };
	return pin;
}

void pin_free(struct pin *pin)
{
	put_back(&pin_pool, pin);
}

/* xorshift32 */
static uint32_t priority(void)
{
	static uint32_t x = 2463534242u;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}

/* Splits a tree: ranges that start below @page go to @left, the others to @right. */
static void split(struct range *tree, uint64_t page, struct range **left, struct range **right)
{
	while (tree) {
		if (tree->start < page) {
			*left = tree;
			left = &tree->right;
			tree = tree->right;
		} else {
			*right = tree;
			right = &tree->left;
			tree = tree->left;
		}
	}
	*left = NULL;
	*right = NULL;
}

/* Merges two trees. All ranges of @left are below those of @right. */
static struct range *merge(struct range *left, struct range *right)
{
	struct range *tree, **to = &tree;

	while (left && right) {
		if (left->priority > right->priority) {
			*to = left;
			to = &left->right;
			left = left->right;
		} else {
			*to = right;
			to = &right->left;
			right = right->left;
		}
	}
	*to = left ? left : right;
	return tree;
}

struct range *ranges_from(uint64_t page)
{
	struct range *at = root, *found = NULL;

	while (at) {
		if (at->end > page) {
			found = at;
			at = at->left;
		} else {
			at = at->right;
		}
	}
	return found;
}

struct range *ranges_at(uint64_t page)
{
	struct range *range = ranges_from(page);

	return range && range->start <= page ? range : NULL;
}

bool ranges_may_have(uint64_t start, uint64_t end)
{
	return start < atomic_load_explicit(&highest, memory_order_relaxed) &&
	       end > atomic_load_explicit(&lowest, memory_order_relaxed);
}

void ranges_add(struct range *range)
{
	struct range **at = &root;

	range->priority = priority();
	while (*at && (*at)->priority > range->priority)
		at = (*at)->start < range->start ? &(*at)->right : &(*at)->left;
	split(*at, range->start, &range->left, &range->right);
	*at = range;
	if (range->start < lowest)
		lowest = range->start;
	if (range->end > highest)
		highest = range->end;
}

void ranges_remove(struct range *range)
{
	struct range **at = &root;

	while (*at != range)
		at = (*at)->start < range->start ? &(*at)->right : &(*at)->left;
	*at = merge(range->left, range->right);
	if (!root) {
		lowest = UINT64_MAX;
		highest = 0;
	}
}

void ranges_forget(void)
{
	drain(&range_pool);
	drain(&pin_pool);
	root = NULL;
	lowest = UINT64_MAX;
	highest = 0;
}
