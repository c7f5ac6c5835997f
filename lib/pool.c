// SPDX-License-Identifier: MIT
/* Pools of small objects: many in a buffer, each aligned to its size on the bus. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buddy.h"
#include "internal.h"

#define POISON		0x6b
#define KNOWN_FLAGS	FLATIOMMU_POOL_POISON
#define MEMORY_FLAGS	(FLATIOMMU_DMA_NO_FALLBACK | FLATIOMMU_DMA_ON_NODE)

struct chunk {
	struct flatiommu_dma *dma;
	struct buddy buddy;
};

struct flatiommu_pool {
	struct flatiommu *flat;
	struct flatiommu_pool *next, **prev;	/* flat->lock */
	struct flatiommu_pool_options options;
	unsigned int min_order, max_order;

	pthread_mutex_t grow_lock;		/* held to allocate a chunk; taken before @lock */
	pthread_mutex_t lock;			/* protects the members below; held for moments */
	struct chunk **chunks;			/* sorted by their memory */
	size_t nr_chunks, room, nr_empty;
	/* No chunk before this one has a free block of the order. */
	size_t first[BUDDY_ORDERS];
};

/* Is a block contiguous on the bus, and aligned to its size there? Each of its halves is. */
static bool is_whole(const void *arg, size_t offset, unsigned int order)
{
	const struct flatiommu_dma *dma = arg;
	size_t half = BUDDY_UNIT << (order - 1);
	uint64_t address = flatiommu_dma_address(dma, offset);

	return flatiommu_dma_address(dma, offset + half) == address + half &&
	       !(address & (2 * half - 1));
}

static unsigned int order_of(uint64_t size)
{
	unsigned int order = 0;

	while (order < BUDDY_ORDERS && BUDDY_UNIT << order < size)
		order++;
	return order;
}

static bool is_power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

static int check_options(struct flatiommu *flat, const struct flatiommu_pool_options *options)
{
	uint64_t alignment = options->alignment, boundary = options->boundary;
	size_t i, used = options->memory.flags & ~MEMORY_FLAGS;

	for (i = 0; i < ARRAY_SIZE(options->reserved); i++)
		used |= options->reserved[i] != 0;
	if (used || options->flags & ~KNOWN_FLAGS || options->reserved_32)
		return fail(flat, -EOPNOTSUPP, "options of a pool: unknown flags, or reserved is not 0");
	if ((alignment && (!is_power_of_two(alignment) || alignment > BUDDY_CHUNK)) ||
	    (boundary &&
	     (!is_power_of_two(boundary) || boundary < BUDDY_UNIT || boundary < alignment)))
		return fail(flat, -EINVAL, "options of a pool: alignment %llu, boundary %llu",
			    (unsigned long long)alignment, (unsigned long long)boundary);
	return check_dma_options(flat, BUDDY_CHUNK, &options->memory);
}

static int create(struct flatiommu *flat, const struct flatiommu_pool_options *options,
		  struct flatiommu_pool **pool)
{
	static const struct flatiommu_pool_options any;
	struct flatiommu_pool *new;
	int err;

	if (!pool)
		return fail(flat, -EINVAL, "flatiommu_pool_create: NULL is no pool");
	if (!options)
		options = &any;
	err = check_options(flat, options);
	if (err)
		return err;
	new = calloc(1, sizeof(*new));
	if (!new)
		return fail(flat, -ENOMEM, "no memory for a pool");
	new->flat = flat;
	new->options = *options;
	new->min_order = order_of(options->alignment);
	new->max_order = BUDDY_ORDERS - 1;
	if (options->boundary && options->boundary < BUDDY_CHUNK)
		new->max_order = order_of(options->boundary);
	pthread_mutex_init(&new->grow_lock, NULL);
	pthread_mutex_init(&new->lock, NULL);
	pthread_mutex_lock(&flat->lock);
	new->next = flat->pools;
	new->prev = &flat->pools;
	if (new->next)
		new->next->prev = &new->next;
	flat->pools = new;
	pthread_mutex_unlock(&flat->lock);
	*pool = new;
	return 0;
}

int flatiommu_pool_create(struct flatiommu *flat, const struct flatiommu_pool_options *options,
			  struct flatiommu_pool **pool)
{
	return CALL(flat, create(flat, options, pool));
}

/* Returns the number of chunks that begin at or before @memory. */
static size_t chunks_up_to(const struct flatiommu_pool *pool, const void *memory)
{
	size_t low = 0, high = pool->nr_chunks;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if ((uintptr_t)pool->chunks[middle]->dma->memory <= (uintptr_t)memory)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void search_from_first(struct flatiommu_pool *pool)
{
	memset(pool->first, 0, sizeof(pool->first));
}

static int add_chunk(struct flatiommu_pool *pool, struct chunk *chunk)
{
	size_t at, room = pool->room ? 2 * pool->room : 8;
	struct chunk **more;

	if (pool->nr_chunks == pool->room) {
		more = realloc(pool->chunks, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		pool->chunks = more;
		pool->room = room;
	}
	at = chunks_up_to(pool, chunk->dma->memory);
	memmove(&pool->chunks[at + 1], &pool->chunks[at],
		(pool->nr_chunks - at) * sizeof(*pool->chunks));
	pool->chunks[at] = chunk;
	pool->nr_chunks++;
	pool->nr_empty++;
	search_from_first(pool);
	return 0;
}

static void remove_chunk(struct flatiommu_pool *pool, size_t at)
{
	pool->nr_chunks--;
	pool->nr_empty--;
	memmove(&pool->chunks[at], &pool->chunks[at + 1],
		(pool->nr_chunks - at) * sizeof(*pool->chunks));
	search_from_first(pool);
}

static int free_chunk(struct flatiommu_pool *pool, struct chunk *chunk)
{
	int err = free_dma(pool->flat, chunk->dma);

	free(chunk);
	return err;
}

/* Allocates a block. Returns the index of its chunk and sets *@offset, or returns -1. */
static ptrdiff_t take_block(struct flatiommu_pool *pool, unsigned int order, size_t *offset)
{
	size_t i;

	for (i = pool->first[order]; i < pool->nr_chunks; i++) {
		struct buddy *buddy = &pool->chunks[i]->buddy;
		bool was_empty = !buddy->taken;
		ptrdiff_t found = buddy_alloc(buddy, order);

		pool->first[order] = i;
		if (found < 0)
			continue;
		pool->nr_empty -= was_empty;
		*offset = (size_t)found;
		return (ptrdiff_t)i;
	}
	pool->first[order] = pool->nr_chunks;
	return -1;
}

static struct chunk *get_block(struct flatiommu_pool *pool, unsigned int order, size_t *offset)
{
	struct chunk *chunk = NULL;
	ptrdiff_t i;

	pthread_mutex_lock(&pool->lock);
	i = take_block(pool, order, offset);
	if (i >= 0)
		chunk = pool->chunks[i];
	pthread_mutex_unlock(&pool->lock);
	return chunk;
}

static bool has_block(const struct buddy *buddy, unsigned int order)
{
	for (; order < BUDDY_ORDERS; order++)
		if (buddy->nr_free[order])
			return true;
	return false;
}

/* Makes a chunk. If it has no block of the order, frees it and sets *@none. */
static int make_chunk(struct flatiommu_pool *pool, unsigned int order,
		      const struct flatiommu_dma_options *options, struct chunk **chunk, bool *none)
{
	struct chunk *new = calloc(1, sizeof(*new));
	int err;

	*none = false;
	if (!new)
		return fail(pool->flat, -ENOMEM, "no memory for a pool");
	err = alloc_dma(pool->flat, BUDDY_CHUNK, options, &new->dma);
	if (err) {
		free(new);
		return err;
	}
	buddy_begin(&new->buddy, is_whole, new->dma);
	*none = !has_block(&new->buddy, order);
	if (*none) {
		free_chunk(pool, new);
		return -ENOMEM;
	}
	*chunk = new;
	return 0;
}

/*
 * Adds a chunk that has a free block of the order. grow_lock is held. Allocates a contiguous chunk
 * only if an ordinary one has no such block: it needs huge pages, or the module has to make room.
 */
static int grow(struct flatiommu_pool *pool, unsigned int order)
{
	struct flatiommu_dma_options options = pool->options.memory;
	struct chunk *new;
	bool none;
	int err;

	err = make_chunk(pool, order, &options, &new, &none);
	if (none) {
		options.flags |= FLATIOMMU_DMA_CONTIGUOUS;
		err = make_chunk(pool, order, &options, &new, &none);
	}
	if (none)
		return fail(pool->flat, -ENOMEM, "there are no %lu bytes of consecutive memory",
			    BUDDY_UNIT << order);
	if (err)
		return err;
	if (pool->options.flags & FLATIOMMU_POOL_POISON)
		memset(new->dma->memory, POISON, BUDDY_CHUNK);
	pthread_mutex_lock(&pool->lock);
	err = add_chunk(pool, new);
	pthread_mutex_unlock(&pool->lock);
	if (!err)
		return 0;
	free_chunk(pool, new);
	return fail(pool->flat, err, "no memory for a pool");
}

/* Allocates a block, from another thread's new chunk or from one of its own. */
static int grow_for(struct flatiommu_pool *pool, unsigned int order, struct chunk **chunk,
		    size_t *offset)
{
	int err = 0;

	pthread_mutex_lock(&pool->grow_lock);
	while (!err && !(*chunk = get_block(pool, order, offset)))
		err = grow(pool, order);
	pthread_mutex_unlock(&pool->grow_lock);
	return err;
}

/* Fails if the object was written to after it was freed. The block stays taken then. */
static int check_poison(const struct flatiommu_pool *pool, const unsigned char *memory,
			size_t length)
{
	size_t i;

	for (i = 0; i < length && memory[i] == POISON; i++)
		;
	if (i == length)
		return 0;
	return fail(pool->flat, -EUCLEAN, "the %zu bytes at %p were written to after they were "
		    "freed, first at %p: by the program, or by a device that still has their "
		    "address", length,
		    (const void *)memory, (const void *)(memory + i));
}

static int alloc_object(struct flatiommu_pool *pool, size_t size, struct flatiommu_object *object)
{
	unsigned int order = order_of(size);
	struct chunk *chunk;
	size_t offset;
	char *memory;
	int err;

	if (!size || !object)
		return fail(pool->flat, -EINVAL, "flatiommu_pool_alloc: %s",
			    object ? "0 bytes" : "NULL is no object");
	if (order > pool->max_order)
		return fail(pool->flat, -E2BIG, "%zu bytes: objects of the pool have at most %lu. "
			    "Cure: flatiommu_dma_alloc()", size, BUDDY_UNIT << pool->max_order);
	if (order < pool->min_order)
		order = pool->min_order;
	chunk = get_block(pool, order, &offset);
	if (!chunk) {
		err = grow_for(pool, order, &chunk, &offset);
		if (err)
			return err;
	}
	memory = (char *)chunk->dma->memory + offset;
	if (pool->options.flags & FLATIOMMU_POOL_POISON) {
		err = check_poison(pool, (unsigned char *)memory, BUDDY_UNIT << order);
		if (err)
			return err;
	}
	memset(memory, 0, BUDDY_UNIT << order);
	*object = (struct flatiommu_object){
		.memory = memory,
		.length = BUDDY_UNIT << order,
		.address = flatiommu_dma_address(chunk->dma, offset),
	};
	return 0;
}

int flatiommu_pool_alloc(struct flatiommu_pool *pool, size_t size, struct flatiommu_object *object)
{
	return CALL(pool ? pool->flat : NULL, alloc_object(pool, size, object));
}

/* Returns the index of the chunk with an object at @memory and sets *@offset, or returns -1. */
static ptrdiff_t find_object(const struct flatiommu_pool *pool, const void *memory, size_t *offset)
{
	size_t i = chunks_up_to(pool, memory);

	if (!i)
		return -1;
	*offset = (uintptr_t)memory - (uintptr_t)pool->chunks[--i]->dma->memory;
	return buddy_order(&pool->chunks[i]->buddy, *offset) < 0 ? -1 : (ptrdiff_t)i;
}

/* Fills the block with poison, before it is free. */
static void poison(const struct flatiommu_pool *pool, const struct chunk *chunk, size_t offset)
{
	int order = buddy_order(&chunk->buddy, offset);

	if (pool->options.flags & FLATIOMMU_POOL_POISON)
		memset((char *)chunk->dma->memory + offset, POISON, BUDDY_UNIT << order);
}

static int free_object(struct flatiommu_pool *pool, const void *memory)
{
	struct chunk *chunk, *empty = NULL;
	ptrdiff_t at;
	size_t offset;
	unsigned int i;

	pthread_mutex_lock(&pool->lock);
	at = find_object(pool, memory, &offset);
	if (at >= 0) {
		chunk = pool->chunks[at];
		poison(pool, chunk, offset);
		buddy_free(&chunk->buddy, offset);
		for (i = 0; i < BUDDY_ORDERS; i++)
			if (pool->first[i] > (size_t)at)
				pool->first[i] = (size_t)at;
		/* Keep one empty chunk for the next allocation. */
		if (!chunk->buddy.taken && ++pool->nr_empty > 1) {
			remove_chunk(pool, (size_t)at);
			empty = chunk;
		}
	}
	pthread_mutex_unlock(&pool->lock);
	if (at < 0)
		return fail(pool->flat, -ENOENT, "%p is no object of the pool, or was freed already",
			    memory);
	return empty ? free_chunk(pool, empty) : 0;
}

int flatiommu_pool_free(struct flatiommu_pool *pool, void *memory)
{
	if (!memory)
		return 0;
	return CALL(pool ? pool->flat : NULL, free_object(pool, memory));
}

/* Frees a pool, but not its buffers. */
static void forget_pool(struct flatiommu_pool *pool)
{
	size_t i;

	for (i = 0; i < pool->nr_chunks; i++)
		free(pool->chunks[i]);
	free(pool->chunks);
	free(pool);
}

void forget_pools(struct flatiommu *flat)
{
	struct flatiommu_pool *pool;

	while ((pool = flat->pools)) {
		flat->pools = pool->next;
		/* In a child: if another thread of the parent had the lock at the fork, leak it. */
		if (!pthread_mutex_trylock(&pool->lock))
			forget_pool(pool);
	}
}

static int destroy(struct flatiommu_pool *pool)
{
	struct flatiommu *flat = pool->flat;
	int err = 0, ret;
	size_t i;

	pthread_mutex_lock(&flat->lock);
	*pool->prev = pool->next;
	if (pool->next)
		pool->next->prev = pool->prev;
	pthread_mutex_unlock(&flat->lock);
	for (i = 0; i < pool->nr_chunks; i++) {
		ret = free_dma(flat, pool->chunks[i]->dma);
		if (!err)
			err = ret;
	}
	pthread_mutex_destroy(&pool->lock);
	pthread_mutex_destroy(&pool->grow_lock);
	forget_pool(pool);
	return err;
}

int flatiommu_pool_destroy(struct flatiommu_pool *pool)
{
	return pool ? CALL(pool->flat, destroy(pool)) : 0;
}
