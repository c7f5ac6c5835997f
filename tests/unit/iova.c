// SPDX-License-Identifier: MIT
/*
 * iova [SEED]: lib/iova.c against a map of bytes. Allocations are taken, freed and taken again at
 * random, and each answer is compared with what a search of the map says.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../lib/iova.h"

/* Units of the map, at the end of the address space, where sums wrap. */
#define UNITS		256
#define BASE		(UINT64_MAX - (UNITS - 1))
#define MAX_HELD	64
#define ROUNDS		300
#define STEPS		400

enum unit { FORBIDDEN, FREE, TAKEN };

static struct held {
	uint64_t iova, size;
} held[MAX_HELD];
static size_t nr_held;
static enum unit map[UNITS];
static struct iova_space space;
static unsigned int seed;

#define CHECK(is_so) do { if (!(is_so)) die(#is_so, __LINE__); } while (0)

static void die(const char *what, int line)
{
	fprintf(stderr, "iova: line %d: %s; seed %u\n", line, what, seed);
	exit(EXIT_FAILURE);
}

static unsigned int below(unsigned int limit)
{
	return (unsigned int)random() % limit;
}

/* Some ranges, sorted; some of them are neighbours. */
static void allow(void)
{
	struct iova_range *ranges = calloc(UNITS, sizeof(*ranges));
	unsigned int at = below(20), length;
	size_t n = 0, i;

	CHECK(ranges);
	memset(map, 0, sizeof(map));
	while (at < UNITS) {
		length = 1 + below(80);
		if (length > UNITS - at)
			length = UNITS - at;
		ranges[n++] = (struct iova_range){ BASE + at, BASE + at + (length - 1) };
		while (length--)
			map[at++] = FREE;
		at += below(3) * below(10);
	}
	CHECK(!iova_allow(&space, ranges, n));
	/* What was taken stays so, also where it is not allowed any more. */
	for (i = 0; i < nr_held; i++) {
		CHECK(!iova_take(&space, held[i].iova, held[i].size));
		for (at = 0; at < held[i].size; at++)
			if (map[held[i].iova - BASE + at] == FREE)
				map[held[i].iova - BASE + at] = TAKEN;
	}
}

static bool is_free(unsigned int at, uint64_t size)
{
	while (size--)
		if (map[at++] != FREE)
			return false;
	return true;
}

static void mark(uint64_t iova, uint64_t size, enum unit from, enum unit to)
{
	unsigned int at = (unsigned int)(iova - BASE);

	for (; size--; at++)
		if (map[at] == from)
			map[at] = to;
}

/* The lowest place that fits, UNITS for none. Free ranges that touch are one, allowed ones or not. */
static unsigned int lowest(uint64_t size, uint64_t align, uint64_t phase, uint64_t min, uint64_t max)
{
	unsigned int at;

	for (at = 0; at + size <= UNITS; at++) {
		uint64_t start = BASE + at;

		if (start >= min && start + (size - 1) <= max && !((start - phase) & (align - 1)) &&
		    is_free(at, size))
			return at;
	}
	return UNITS;
}

/* Does some range of the array have all of it? Neighbours need not be one before one is given back. */
static bool in_one_range(uint64_t iova, uint64_t size)
{
	size_t i;

	for (i = 0; i < space.nr_free; i++)
		if (space.free[i].start <= iova && iova + (size - 1) <= space.free[i].last)
			return true;
	return false;
}

static void allocate(void)
{
	uint64_t size = 1 + below(below(2) ? 8 : 60), align = 1ull << below(6);
	uint64_t phase = (uint64_t)random(), min = BASE + below(UNITS), max, iova = 1;
	unsigned int at;
	bool whole;
	int ret;

	if (below(2))
		min = below(2) ? 0 : BASE;
	max = below(2) ? UINT64_MAX : min + below(UNITS);
	if (max < min)
		max = UINT64_MAX;
	at = lowest(size, align, phase, min, max);
	whole = at < UNITS && in_one_range(BASE + at, size);
	ret = iova_alloc(&space, size, align, phase, min, max, &iova);
	if (ret) {
		CHECK(ret == -ENOSPC && iova == 1 && !whole);
		return;
	}
	CHECK(at < UNITS && (!whole || iova == BASE + at));
	CHECK(iova >= min && iova + (size - 1) <= max && !((iova - phase) & (align - 1)));
	CHECK(is_free((unsigned int)(iova - BASE), size));
	mark(iova, size, FREE, TAKEN);
	held[nr_held++] = (struct held){ iova, size };
}

static void give_back(void)
{
	size_t i = below((unsigned int)nr_held);

	iova_free(&space, held[i].iova, held[i].size);
	mark(held[i].iova, held[i].size, TAKEN, FREE);
	held[i] = held[--nr_held];
}

/* Sorted, and just what the map says. */
static void compare(void)
{
	unsigned int at = 0;
	size_t i;

	for (i = 0; i < space.nr_free; i++) {
		CHECK(space.free[i].start <= space.free[i].last && space.free[i].start >= BASE);
		for (; at < UNITS && BASE + at < space.free[i].start; at++)
			CHECK(map[at] != FREE);
		for (; at < UNITS && BASE + at <= space.free[i].last; at++)
			CHECK(map[at] == FREE);
	}
	for (; at < UNITS; at++)
		CHECK(map[at] != FREE);
	CHECK(space.nr_free <= space.room && space.allocations == nr_held);
}

int main(int argc, char **argv)
{
	unsigned int round, step;

	seed = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 0) : (unsigned int)time(NULL);
	srandom(seed);
	for (round = 0; round < ROUNDS; round++) {
		nr_held = 0;
		allow();
		for (step = 0; step < STEPS; step++) {
			if (!below(50))
				allow();
			if (nr_held < MAX_HELD && (!nr_held || below(5) > 1))
				allocate();
			else
				give_back();
			compare();
		}
		while (nr_held)
			give_back();
		compare();
		iova_end(&space);
	}
	printf("iova: %d rounds of %d steps, seed %u\n", ROUNDS, STEPS, seed);
	return EXIT_SUCCESS;
}
