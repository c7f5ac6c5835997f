/* SPDX-License-Identifier: MIT */
/* What a bench has measured, for bench/report: a line of its output for each way that is compared. */
#ifndef BENCH_FIGURE_H
#define BENCH_FIGURE_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "test.h"

/* What cannot go on without it. */
static inline void must(int ret, const char *what)
{
	if (ret >= 0)
		return;
	printf("Bail out! %s: %s\n", what, errno_name(ret));
	exit(1);
}

/* Microseconds, by whichever clock the machine has. */
static inline double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/*
 * @which: the figure; @what: one of the things that it is measured for, such as a kind of memory; @size: how much
 * of it; @way: what was done; @values: of each run.
 */
static inline void figure(const char *which, const char *what, size_t size, const char *way, const double *values,
			  unsigned int count)
{
	unsigned int i;

	printf("# figure|%s|%s|%zu|%s|", which, what, size, way);
	for (i = 0; i < count; i++)
		printf(" %.2f", values[i]);
	puts("");
	fflush(stdout);
}

#endif
