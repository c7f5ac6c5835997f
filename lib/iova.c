// SPDX-License-Identifier: MIT
/* Free ranges in a sorted array. There are few, because freed neighbours are merged. */
#include "iova.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for all ranges that can exist: an allocation splits one, and a free may add one. */
static int reserve(struct iova_space *space)
{
	size_t needed = space->nr_allowed + space->allocations + 2;
	struct iova_range *more;

	if (space->room >= needed)
		return 0;
	more = realloc(space->free, 2 * needed * sizeof(*more));
	if (!more)
		return -ENOMEM;
	space->free = more;
	space->room = 2 * needed;
	return 0;
}

static void insert_at(struct iova_space *space, size_t i, uint64_t start, uint64_t last)
{
	memmove(&space->free[i + 1], &space->free[i], (space->nr_free - i) * sizeof(*space->free));
	space->free[i] = (struct iova_range){ start, last };
	space->nr_free++;
}

static void remove_at(struct iova_space *space, size_t i)
{
	space->nr_free--;
	memmove(&space->free[i], &space->free[i + 1], (space->nr_free - i) * sizeof(*space->free));
}

/* Takes @start to @last out of the i-th free range, which contains them. */
static void carve(struct iova_space *space, size_t i, uint64_t start, uint64_t last)
{
	struct iova_range hole = space->free[i];

	remove_at(space, i);
	if (hole.last > last)
		insert_at(space, i, last + 1, hole.last);
	if (hole.start < start)
		insert_at(space, i, hole.start, start - 1);
}

/* Returns the index of the first free range that ends at or after @at. */
static size_t find(const struct iova_space *space, uint64_t at)
{
	size_t low = 0, high = space->nr_free;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (space->free[middle].last < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int iova_allow(struct iova_space *space, struct iova_range *ranges, size_t count)
{
	struct iova_space new = { .allowed = ranges, .nr_allowed = count };
	int err = reserve(&new);

	if (err)
		return err;
	memcpy(new.free, ranges, count * sizeof(*ranges));
	new.nr_free = count;
	iova_end(space);
	*space = new;
	return 0;
}

void iova_end(struct iova_space *space)
{
	free(space->allowed);
	free(space->free);
	*space = (struct iova_space){ 0 };
}

int iova_alloc(struct iova_space *space, uint64_t size, uint64_t align, uint64_t phase,
	       uint64_t min, uint64_t max, uint64_t *iova)
{
	size_t i;
	int err = reserve(space);

	if (err)
		return err;
	phase &= align - 1;
	for (i = find(space, min); i < space->nr_free; i++) {
		uint64_t start = space->free[i].start > min ? space->free[i].start : min;
		uint64_t last = space->free[i].last < max ? space->free[i].last : max;
		uint64_t skip = (phase - start) & (align - 1);

		if (start > max)
			break;
		if (start > last || last - start < skip || last - start - skip < size - 1)
			continue;
		carve(space, i, start + skip, start + skip + size - 1);
		space->allocations++;
		*iova = start + skip;
		return 0;
	}
	return -ENOSPC;
}

int iova_take(struct iova_space *space, uint64_t iova, uint64_t size)
{
	uint64_t last = iova + size - 1;
	size_t i;
	int err = reserve(space);

	if (err)
		return err;
	space->allocations++;
	for (i = find(space, iova); i < space->nr_free && space->free[i].start <= last;
	     i = find(space, iova))
		carve(space, i, iova > space->free[i].start ? iova : space->free[i].start,
		      last < space->free[i].last ? last : space->free[i].last);
	return 0;
}

/* Puts a range back that lies within an allowed one. */
static void give_back(struct iova_space *space, uint64_t start, uint64_t last)
{
	size_t i = find(space, start);

	/* Merge it with the ranges before and after it, if they are neighbours. */
	if (i && space->free[i - 1].last + 1 == start) {
		start = space->free[--i].start;
		remove_at(space, i);
	}
	if (i < space->nr_free && last + 1 == space->free[i].start) {
		last = space->free[i].last;
		remove_at(space, i);
	}
	insert_at(space, i, start, last);
}

void iova_free(struct iova_space *space, uint64_t iova, uint64_t size)
{
	uint64_t last = iova + size - 1;
	size_t i;

	space->allocations--;
	for (i = 0; i < space->nr_allowed; i++) {
		const struct iova_range *allowed = &space->allowed[i];

		if (allowed->start <= last && allowed->last >= iova)
			give_back(space, iova > allowed->start ? iova : allowed->start,
				  last < allowed->last ? last : allowed->last);
	}
}
