// SPDX-License-Identifier: MIT
/*
 * buddy [SEED]: lib/buddy.c: blocks do not overlap, are at multiples of their size, are never
 * across what cannot be one, and when all are free again the chunk is as it was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../lib/buddy.h"

#define MAX_HELD	4000
#define STEPS		100000
#define NR_PAGES	(BUDDY_UNITS >> BUDDY_PAGE)

static struct held {
	size_t offset;
	unsigned int order;
} held[MAX_HELD];
static size_t nr_held;
static unsigned char taken[BUDDY_UNITS];
/* Is this page in one with the next? */
static bool goes_on[NR_PAGES];
static unsigned int seed;

#define CHECK(is_so) do { if (!(is_so)) die(#is_so, __LINE__); } while (0)

static void die(const char *what, int line)
{
	fprintf(stderr, "buddy: line %d: %s; seed %u\n", line, what, seed);
	exit(EXIT_FAILURE);
}

static unsigned int below(unsigned int limit)
{
	return (unsigned int)random() % limit;
}

static bool is_whole(const void *arg, size_t offset, unsigned int order)
{
	size_t middle = (offset + (BUDDY_UNIT << (order - 1))) / (BUDDY_UNIT << BUDDY_PAGE);

	CHECK(arg == held && order > BUDDY_PAGE && !(offset % (BUDDY_UNIT << order)));
	return goes_on[middle - 1];
}

static void take(struct buddy *buddy)
{
	unsigned int order = below(below(3) ? 7 : BUDDY_ORDERS);
	size_t units = (size_t)1 << order, i;
	ptrdiff_t offset = nr_held < MAX_HELD ? buddy_alloc(buddy, order) : -1;

	if (offset < 0)
		return;
	CHECK(!((size_t)offset % (BUDDY_UNIT << order)) && (size_t)offset < BUDDY_CHUNK);
	CHECK(buddy_order(buddy, (size_t)offset) == (int)order);
	for (i = 0; i < units; i++) {
		CHECK(!taken[(size_t)offset / BUDDY_UNIT + i]);
		taken[(size_t)offset / BUDDY_UNIT + i] = 1;
	}
	for (i = (size_t)offset >> 12; i + 1 < ((size_t)offset + (BUDDY_UNIT << order)) >> 12; i++)
		CHECK(goes_on[i]);
	held[nr_held++] = (struct held){ (size_t)offset, order };
}

static void give_back(struct buddy *buddy, size_t i)
{
	struct held h = held[i];

	held[i] = held[--nr_held];
	CHECK(buddy_order(buddy, h.offset + 1) < 0);
	memset(&taken[h.offset / BUDDY_UNIT], 0, (size_t)1 << h.order);
	buddy_free(buddy, h.offset);
	CHECK(buddy_order(buddy, h.offset) < 0);
}

/* @holes: one page of so many does not go on; 0: all do. */
static void try(unsigned int holes)
{
	struct buddy *buddy = calloc(1, sizeof(*buddy)), *before = calloc(1, sizeof(*before));
	unsigned int i;

	CHECK(buddy && before);
	for (i = 0; i < NR_PAGES; i++)
		goes_on[i] = !holes || below(holes);
	buddy_begin(buddy, is_whole, held);
	*before = *buddy;
	for (i = 0; i < STEPS; i++) {
		if (below(5) < 3)
			take(buddy);
		else if (nr_held)
			give_back(buddy, below((unsigned int)nr_held));
	}
	while (nr_held)
		give_back(buddy, nr_held - 1);
	CHECK(!memcmp(buddy, before, sizeof(*buddy)));
	if (!holes)
		CHECK(!buddy_alloc(buddy, BUDDY_ORDERS - 1) && buddy_alloc(buddy, 0) < 0);
	free(before);
	free(buddy);
}

int main(int argc, char **argv)
{
	seed = argc > 1 ? (unsigned int)atoi(argv[1]) : (unsigned int)time(NULL);
	srandom(seed);
	try(0);
	try(1);
	try(3);
	try(100);
	return EXIT_SUCCESS;
}
