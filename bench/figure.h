/* SPDX-License-Identifier: MIT */
/* Results of a bench, for bench/report: a line of output for each way that is compared. */
#ifndef BENCH_FIGURE_H
#define BENCH_FIGURE_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "test.h"

/* Ends the bench after an error. */
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

/* Returns NUMBER of NAME=NUMBER on the kernel's command line, or @otherwise. @name: " NAME=" */
static inline unsigned long parameter(const char *name, unsigned long otherwise)
{
	char text[4096];
	FILE *file = fopen("/proc/cmdline", "r");
	const char *found = file && fgets(text, sizeof(text), file) ? strstr(text, name) : NULL;

	if (file)
		fclose(file);
	return found ? strtoul(found + strlen(name), NULL, 10) : otherwise;
}

/* Should the bench only show that it works? */
static inline bool is_quick(void)
{
	return parameter(" quick=", 0);
}

/* Returns the memory that the kernel has allocated for itself, without whole pages. */
static inline double kernel_bytes(void)
{
	double sum = 0, size;
	char line[512];
	FILE *file;

	/* Adds each processor's counts to the sum. */
	file = fopen("/proc/sys/vm/stat_refresh", "w");
	must(file ? 0 : -errno, "stat_refresh");
	fputc('1', file);
	must(fclose(file) ? -errno : 0, "stat_refresh");
	file = fopen("/proc/meminfo", "r");
	must(file ? 0 : -errno, "meminfo");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Slab: %lf", &size) == 1 || sscanf(line, "VmallocUsed: %lf", &size) == 1)
			sum += size * 1024;
	fclose(file);
	return sum;
}

/*
 * Prints a result. @which: the figure. @what: a thing that it is measured for, such as a kind of
 * memory. @size: its size. @way: the way that is measured. @values: one for each run.
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
