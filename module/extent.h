/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_EXTENT_H
#define FLATIOMMU_EXTENT_H

#include <linux/rbtree.h>
#include <linux/types.h>

/**
 * struct flat_extent - one physically contiguous range that is mapped
 * @node:	in a tree ordered by @iova, without overlaps
 * @iova:	first byte
 * @last:	last byte
 * @phys:	CPU address behind @iova
 */
struct flat_extent {
	struct rb_node node;
	u64 iova;
	u64 last;
	phys_addr_t phys;
};

int flat_extent_init(void);
void flat_extent_exit(void);

struct flat_extent *flat_extent_alloc(gfp_t gfp);
void flat_extent_free(struct flat_extent *extent);

int flat_extents_insert(struct rb_root *extents, struct flat_extent *new);
struct flat_extent *flat_extents_find(const struct rb_root *extents, u64 iova);
size_t flat_extents_erase(struct rb_root *extents, u64 iova, size_t size,
			  struct flat_extent **spare);
void flat_extents_free(struct rb_root *extents);

#endif /* FLATIOMMU_EXTENT_H */
