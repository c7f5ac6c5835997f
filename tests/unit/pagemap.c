// SPDX-License-Identifier: MIT
/* pagemap [SEED]: preload/pins.c and ranges.c against a map of pages. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "pagemap/model.h"

#define ROUNDS	8
#define STEPS	200

static unsigned int seed;

static unsigned int below(unsigned int limit)
{
	return (unsigned int)rand_r(&seed) % limit;
}

int main(int argc, char **argv)
{
	unsigned int round, step;

	seed = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 0) : (unsigned int)time(NULL);
	fprintf(stderr, "pagemap: seed %u\n", seed);
	model_next = below;
	for (round = 0; round < ROUNDS; round++) {
		model_begin();
		for (step = 0; step < STEPS; step++)
			model_step();
		model_end();
	}
	model_begin();
	model_unseen(3000);
	model_end();
	return EXIT_SUCCESS;
}
