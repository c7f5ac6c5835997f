/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_EXTENT_H
#define FLATIOMMU_EXTENT_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#include "hold.h"

/**
 * struct flat_extent - one mapped, physically contiguous range
 * @node:	in a tree ordered by @iova, without overlaps
 * @next:	next one in a list of erased extents
 * @held:	links the extent into a hold, after the unmap
 * @iova:	first byte
 * @last:	last byte
 * @phys:	CPU address of the first byte
 * @lookup:	@iova is not the bus address
 */
struct flat_extent {
	union {
		struct rb_node node;
		struct flat_extent *next;
		struct flat_held held;
	};
	u64 iova;
	u64 last;
	phys_addr_t phys;
	bool lookup;
};

/**
 * struct flat_erased - extents that an erase has removed
 * @gone:	the list of them, for flat_extent_free_list() or flat_hold_extents()
 * @parts:	also add removed parts of extents to @gone
 * @part:	with @parts: memory for one part, or NULL
 */
struct flat_erased {
	struct flat_extent *gone;
	bool parts;
	struct flat_extent *part;
};

/**
 * struct flat_extents - the maps of a domain
 * @root:	the extents
 * @spare:	an extent for an erase that cuts another one in two, or NULL
 * @last_found:	where the next search begins, or NULL: VFIO first asks where a range is, and then
 *		unmaps it
 * @last_new:	the extent that was inserted last, or NULL: the next one mostly follows it
 * @behind:	the extent after @last_new in the tree, or NULL
 * @lookup:	bytes in look-up maps, whose IOVA is not the bus address
 */
struct flat_extents {
	struct rb_root root;
	struct flat_extent *spare;
	struct flat_extent *last_found;
	struct flat_extent *last_new;
	struct flat_extent *behind;
	u64 lookup;
};

int flat_extent_init(void);
void flat_extent_exit(void);

struct flat_extent *flat_extent_alloc(gfp_t gfp);
void flat_extent_free(struct flat_extent *extent);
void flat_extent_free_list(struct flat_extent *gone);

int flat_extents_insert(struct flat_extents *extents, struct flat_extent *new);
struct flat_extent *flat_extents_find(struct flat_extents *extents, u64 iova);
struct flat_extent *flat_extents_next(struct flat_extent *extent);
size_t flat_extents_erase(struct flat_extents *extents, u64 iova, size_t size,
			  struct list_head *histories, struct flat_erased *erased);
void flat_extents_free(struct flat_extents *extents);

#endif /* FLATIOMMU_EXTENT_H */
