/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_PAGES_H
#define FLATIOMMU_PAGES_H

#include <linux/types.h>

/**
 * struct flat_run - pages of a pin that follow each other in memory
 * @order:	log2 of the pages that one page pin keeps in place: the order of the huge page, or 0
 * @pfn:	frame number of the first page
 * @first:	index of the first page in the pin; the run ends where the next one begins
 *
 * Scattered memory has one run for each page.
 */
struct flat_run {
	unsigned long order : 6;
	unsigned long pfn : 58;
	unsigned long first;
};

#define FLAT_FEW_RUNS 4

/**
 * struct flat_pages - the pages of a pin
 * @n:		number of pages
 * @borrowed:	another object keeps them in place: they are not unpinned
 * @runs:	the pages as runs
 * @nr_runs:	number of runs
 * @max_runs:	number of runs that fit in @runs
 * @few:	@runs, until more than FLAT_FEW_RUNS are needed
 */
struct flat_pages {
	unsigned long n;
	bool borrowed;
	struct flat_run *runs;
	unsigned long nr_runs;
	unsigned long max_runs;
	struct flat_run few[FLAT_FEW_RUNS];
};

void flat_pages_init(struct flat_pages *p);
int flat_pages_pin(struct flat_pages *p, unsigned long addr, unsigned long n, bool writable);
int flat_pages_add(struct flat_pages *p, unsigned long pfn, unsigned long n, unsigned long total);
void flat_pages_unpin(struct flat_pages *p, bool dirty);
unsigned long flat_pages_find(const struct flat_pages *p, unsigned long page);

/* Returns the index of the page after run @i. */
static inline unsigned long flat_pages_end(const struct flat_pages *p, unsigned long i)
{
	return i + 1 < p->nr_runs ? p->runs[i + 1].first : p->n;
}

#endif /* FLATIOMMU_PAGES_H */
