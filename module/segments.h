/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_SEGMENTS_H
#define FLATIOMMU_SEGMENTS_H

#include <linux/flatiommu.h>
#include <linux/types.h>

/**
 * struct flat_segments - the array of a LOOKUP, while it is written
 * @user:	where the next one goes
 * @room:	how many more may go there
 * @buf:	a page of segments that have yet to go
 * @n:		their number; the last one may still grow
 * @written:	those that have gone
 */
struct flat_segments {
	struct flatiommu_segment __user *user;
	u32 room;
	struct flatiommu_segment *buf;
	unsigned int n;
	u32 written;
};

int flat_segments_begin(struct flat_segments *s, const struct flatiommu_lookup *arg);
bool flat_segments_add(struct flat_segments *s, dma_addr_t bus, phys_addr_t phys, u64 length);
int flat_segments_flush(struct flat_segments *s, bool all);
int flat_segments_end(struct flat_segments *s, struct flatiommu_lookup *arg, u64 done, int ret);

#endif /* FLATIOMMU_SEGMENTS_H */
