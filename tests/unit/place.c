// SPDX-License-Identifier: MIT
/*
 * place [SEED]: lib/place.c against a look at every range. They come and go at random, and overlap;
 * and with many of them the way to one is short.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../lib/place.h"

#define NR	200
#define SPACE	1000u
#define STEPS	40000
#define MANY	65536

static struct place places[NR];
static bool is_in[NR];
static struct place *root;
static unsigned int seed;

#define CHECK(is_so) do { if (!(is_so)) die(#is_so, __LINE__); } while (0)

static void die(const char *what, int line)
{
	fprintf(stderr, "place: line %d: %s; seed %u\n", line, what, seed);
	exit(EXIT_FAILURE);
}

static unsigned int below(unsigned int limit)
{
	return (unsigned int)random() % limit;
}

static bool has(const struct place *place, uintptr_t at)
{
	return at >= place->start && at < place->end;
}

static void check_find(uintptr_t at)
{
	const struct place *found = place_find(root, at);
	bool any = false;
	size_t i;

	for (i = 0; i < NR; i++)
		any |= is_in[i] && has(&places[i], at);
	CHECK(!found == !any);
	CHECK(!found || (has(found, at) && is_in[found - places]));
}

static void change(size_t i)
{
	if (is_in[i]) {
		place_remove(&root, &places[i]);
	} else {
		places[i].start = 1 + below(SPACE);
		places[i].end = places[i].start + 1 + below(below(4) ? 8 : SPACE);
		place_insert(&root, &places[i]);
	}
	is_in[i] = !is_in[i];
}

static size_t depth(const struct place *place)
{
	size_t left, right;

	if (!place)
		return 0;
	left = depth(place->left);
	right = depth(place->right);
	return 1 + (left > right ? left : right);
}

static void many(void)
{
	struct place *all = calloc(MANY, sizeof(*all)), *tree = NULL;
	size_t i;

	CHECK(all);
	for (i = 0; i < MANY; i++) {
		all[i].start = i * 4096;
		all[i].end = i * 4096 + 4096;
		place_insert(&tree, &all[i]);
	}
	CHECK(depth(tree) < 64);
	for (i = 0; i < MANY; i++)
		CHECK(place_find(tree, i * 4096 + 4095) == &all[i]);
	for (i = 0; i < MANY; i++)
		place_remove(&tree, &all[i]);
	CHECK(!tree);
	free(all);
}

int main(int argc, char **argv)
{
	unsigned int i;

	seed = argc > 1 ? (unsigned int)atoi(argv[1]) : (unsigned int)time(NULL);
	srandom(seed);
	for (i = 0; i < STEPS; i++) {
		change(below(NR));
		check_find(below(2 * SPACE));
	}
	many();
	return EXIT_SUCCESS;
}
