/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_PAGES_H
#define FLATIOMMU_PAGES_H

#include <linux/types.h>

/**
 * struct flat_run - pages that follow each other
 * @pfn:	the first one
 * @first:	its place among the pages; the run ends where the next one begins
 * @order:	a pin holds so many pages: those of a huge page, or one
 */
struct flat_run {
	unsigned long pfn;
	unsigned long first;
	unsigned int order;
};

#define FLAT_FEW_RUNS 4

/**
 * struct flat_pages - pages that are pinned
 * @n:		pages
 * @runs:	all of them
 * @nr_runs:	length of @runs
 * @max_runs:	for how many runs there is room
 * @few:	the first @runs, before there is an array
 */
struct flat_pages {
	unsigned long n;
	struct flat_run *runs;
	unsigned long nr_runs;
	unsigned long max_runs;
	struct flat_run few[FLAT_FEW_RUNS];
};

void flat_pages_init(struct flat_pages *p);
int flat_pages_pin(struct flat_pages *p, unsigned long addr, unsigned long n, bool writable);
void flat_pages_unpin(struct flat_pages *p, bool dirty);
unsigned long flat_pages_find(const struct flat_pages *p, unsigned long page);
unsigned long flat_pages_end(const struct flat_pages *p, unsigned long i);

#endif /* FLATIOMMU_PAGES_H */
