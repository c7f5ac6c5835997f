/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_REACH_H
#define FLATIOMMU_REACH_H

#include <linux/types.h>

struct flat_bus_map;
struct page;

/**
 * struct flat_reach - memory that is wanted
 * @map:	how the function sees memory
 * @last:	highest bus address that the function has the bits for
 * @node:	node to look in first; it is online
 * @this_node:	look in no other node
 * @contiguous:	the pages must be consecutive, and begin at a multiple of their size, rounded up to
 *		a power of two
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
