/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_PAGES_H
#define FLATIOMMU_PAGES_H

#include <linux/types.h>

/**
 * struct flat_run - pages of a pin that follow each other in memory
 * @pfn:	frame number of the first page
 * @first:	index of the first page in the pin; the run ends where the next one begins
 * @order:	log2 of the pages that one reference holds: the order of the huge page, or 0
 */
struct flat_run {
	unsigned long pfn;
	unsigned long first;
	unsigned int order;
};

#define FLAT_FEW_RUNS 4

/**
 * struct flat_pages - pages that are pinned
 * @n:		number of pages
 * @runs:	the pages as runs
 * @nr_runs:	number of runs
 * @max_runs:	number of runs that fit in @runs
 * @few:	@runs, until more than FLAT_FEW_RUNS are needed
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
