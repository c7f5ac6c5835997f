/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_REACH_H
#define FLATIOMMU_REACH_H

#include <linux/types.h>

struct flat_bus_map;
struct page;

/**
 * struct flat_reach - what memory to look for
 * @map:	how the function sees memory
 * @last:	the last bus address that it can be told
 * @node:	a node that is online, where to look first
 * @this_node:	and nowhere else
 * @contiguous:	consecutive pages, which begin at a multiple of their size, rounded up to a power
 *		of two
 */
struct flat_reach {
	const struct flat_bus_map *map;
	u64 last;
	int node;
	bool this_node;
	bool contiguous;
};

int flat_reach_alloc(const struct flat_reach *r, struct page **pages, unsigned long n);
void flat_reach_free(struct page **pages, unsigned long n);

#endif /* FLATIOMMU_REACH_H */
