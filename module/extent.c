// SPDX-License-Identifier: GPL-2.0-only
/*
 * The maps of a domain: one extent for each map call, in a red-black tree. Neighbours are not
 * merged, so that unmapping one of them needs no memory. Callers lock.
 *
 * An xarray with an entry for each page would need no memory for that either. With it, map and
 * unmap cost the same on scattered pages, but three to five times as much on huge pages: a huge
 * page is one extent here, and 512 or more entries there.
 */
#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "extent.h"
#include "history.h"

static struct kmem_cache *extent_cache;

int flat_extent_init(void)
{
	extent_cache = kmem_cache_create("flatiommu_extent", sizeof(struct flat_extent), 0,
					 SLAB_ACCOUNT, NULL);
	return extent_cache ? 0 : -ENOMEM;
}

void flat_extent_exit(void)
{
	kmem_cache_destroy(extent_cache);
}

struct flat_extent *flat_extent_alloc(gfp_t gfp)
{
	return kmem_cache_alloc(extent_cache, gfp);
}

void flat_extent_free(struct flat_extent *extent)
{
	if (extent)
		kmem_cache_free(extent_cache, extent);
}

/* Frees the extents that flat_extents_erase() has put on a list. */
void flat_extent_free_list(struct flat_extent *gone)
{
	while (gone) {
		struct flat_extent *next = gone->next;

		kmem_cache_free(extent_cache, gone);
		gone = next;
	}
}

#define to_extent(rb) rb_entry_safe(rb, struct flat_extent, node)

/* Returns the link for @new and sets *@parent, or NULL if part of the range is mapped already. */
static struct rb_node **find_place(struct flat_extents *extents, const struct flat_extent *new,
				   struct rb_node **parent)
{
	struct rb_node **link = &extents->root.rb_node;

	*parent = NULL;
	while (*link) {
		struct flat_extent *e = to_extent(*link);

		*parent = *link;
		if (new->last < e->iova)
			link = &(*parent)->rb_left;
		else if (new->iova > e->last)
			link = &(*parent)->rb_right;
		else
			return NULL;
	}
	return link;
}

/* As find_place(), but returns NULL unless @new lies between extents->last_new and ->behind. */
static struct rb_node **place_behind_last(struct flat_extents *extents,
					  const struct flat_extent *new, struct rb_node **parent)
{
	struct flat_extent *last = extents->last_new, *behind = extents->behind;

	if (!last || new->iova <= last->last || (behind && new->last >= behind->iova))
		return NULL;
	/* If two nodes of a tree are neighbours, one has no child on the side of the other. */
	if (!last->node.rb_right) {
		*parent = &last->node;
		return &last->node.rb_right;
	}
	*parent = &behind->node;
	return &behind->node.rb_left;
}

/**
 * flat_extents_insert() - add an extent
 * @extents:	the extents
 * @new:	the extent; @extents owns it on success
 *
 * Returns 0, or -EEXIST if part of the range is mapped already.
 */
int flat_extents_insert(struct flat_extents *extents, struct flat_extent *new)
{
	struct rb_node **link, *parent;
	bool follows;

	link = place_behind_last(extents, new, &parent);
	follows = link;
	if (!follows)
		link = find_place(extents, new, &parent);
	if (!link)
		return -EEXIST;
	rb_link_node(&new->node, parent, link);
	rb_insert_color(&new->node, &extents->root);
	if (!follows)
		extents->behind = flat_extents_next(new);
	extents->last_new = new;
	if (new->lookup)
		extents->lookup += new->last - new->iova + 1;
	return 0;
}

/* Returns the extent that contains @iova, or NULL. */
struct flat_extent *flat_extents_find(struct flat_extents *extents, u64 iova)
{
	struct flat_extent *e = extents->last_found;
	struct rb_node *n = extents->root.rb_node;

	if (e && iova >= e->iova && iova <= e->last)
		return e;
	while (n) {
		e = to_extent(n);
		if (iova < e->iova) {
			n = n->rb_left;
		} else if (iova > e->last) {
			n = n->rb_right;
		} else {
			extents->last_found = e;
			return e;
		}
	}
	return NULL;
}

/* Returns the next extent, which need not be adjacent, or NULL. */
struct flat_extent *flat_extents_next(struct flat_extent *extent)
{
	return to_extent(rb_next(&extent->node));
}

/* Cuts @iova to @last out of the middle of @e. @tail becomes the part after @last. */
static void cut_out(struct flat_extents *extents, struct flat_extent *e, u64 iova, u64 last,
		    struct flat_extent *tail)
{
	tail->iova = last + 1;
	tail->last = e->last;
	tail->phys = e->phys + (tail->iova - e->iova);
	tail->lookup = e->lookup;
	/* These bytes are counted already; flat_extents_insert() counts them again. */
	if (e->lookup)
		extents->lookup -= tail->last - tail->iova + 1;
	e->last = iova - 1;
	flat_extents_insert(extents, tail);
}

/* Adds the part of @e from @iova to @last to the erased extents. */
static void add_part(const struct flat_extent *e, u64 iova, u64 last, struct flat_erased *erased)
{
	struct flat_extent *part = erased->part;

	part->iova = iova;
	part->last = last;
	part->phys = e->phys + (iova - e->iova);
	part->lookup = e->lookup;
	part->next = erased->gone;
	erased->gone = part;
	erased->part = NULL;
}

/* Maximum number of extents to erase in one critical section. */
#define ERASE_AT_ONCE 256

/**
 * flat_extents_erase() - remove a range
 * @extents:	the extents
 * @iova:	first byte
 * @size:	bytes, not 0
 * @histories:	get an event for each part of an extent that is removed
 * @erased:	gets what is removed
 *
 * The range may contain several extents, or a part of one: VFIO unmaps physically contiguous
 * ranges, in whatever pieces they were mapped. The function returns early
 * - after ERASE_AT_ONCE extents,
 * - at the first byte that is not mapped, or
 * - when it needs the spare, or @erased->part, and there is none.
 *
 * Returns the number of bytes removed, from @iova on. If it is not 0, call again for the rest.
 */
size_t flat_extents_erase(struct flat_extents *extents, u64 iova, size_t size,
			  struct list_head *histories, struct flat_erased *erased)
{
	u64 pos = iova, last = iova + size - 1;
	struct flat_extent *e = flat_extents_find(extents, iova);
	unsigned int budget = ERASE_AT_ONCE;

	/* last_new or behind may be erased. */
	extents->last_new = NULL;
	while (e && e->iova <= pos && budget--) {
		struct flat_extent *next = flat_extents_next(e);
		u64 end = min(e->last, last);

		if (e->iova < pos && e->last > last && !extents->spare)
			break;
		if (erased->parts && (e->iova < pos || e->last > last)) {
			if (!erased->part)
				break;
			add_part(e, pos, end, erased);
		}
		flat_record(histories, FLATIOMMU_EVENT_UNMAP, pos, e->phys + (pos - e->iova),
			    end - pos + 1);
		if (e->lookup)
			extents->lookup -= end - pos + 1;
		if (e->iova < pos && e->last > last) {
			cut_out(extents, e, pos, last, extents->spare);
			extents->spare = NULL;
		} else if (e->iova < pos) {
			e->last = pos - 1;
		} else if (e->last > last) {
			e->phys += last + 1 - e->iova;
			e->iova = last + 1;
		} else {
			rb_erase(&e->node, &extents->root);
			/* Mostly the next unmap is of the next extent. */
			extents->last_found = next;
			e->next = erased->gone;
			erased->gone = e;
		}
		pos = end + 1;
		if (end == last)
			break;
		e = next;
	}
	WARN_ON_ONCE(RB_EMPTY_ROOT(&extents->root) && extents->lookup);
	return pos - iova;
}

/* Frees the extents of a domain that ends. */
void flat_extents_free(struct flat_extents *extents)
{
	struct flat_extent *e, *next;

	rbtree_postorder_for_each_entry_safe(e, next, &extents->root, node) {
		flat_extent_free(e);
		cond_resched();
	}
	flat_extent_free(extents->spare);
	*extents = (struct flat_extents){ };
}
