/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_SEGMENTS_H
#define FLATIOMMU_SEGMENTS_H

#include <linux/flatiommu.h>
#include <linux/types.h>

#define FLAT_FEW_SEGMENTS 8

/**
 * struct flat_segments - the array of a LOOKUP, while it is written
 * @user:	address in the program of the segments in @buf
 * @room:	segments that fit there
 * @buf:	segments that are not copied yet: @few, or a page; the last one may still grow
 * @max:	segments that fit in @buf
 * @next:	place in @buf for the next segment
 * @end:	end of the places that fit in @buf and at @user
 * @written:	segments that were copied
 * @few:	@buf of a LOOKUP that asks for at most FLAT_FEW_SEGMENTS
 */
struct flat_segments {
	struct flatiommu_segment __user *user;
	u32 room;
	struct flatiommu_segment *buf;
	unsigned int max;
	struct flatiommu_segment *next;
	struct flatiommu_segment *end;
	u32 written;
	struct flatiommu_segment few[FLAT_FEW_SEGMENTS];
};

int flat_segments_begin(struct flat_segments *s, const struct flatiommu_lookup *arg);
u32 flat_segment_flags(phys_addr_t phys);
int flat_segments_flush(struct flat_segments *s, bool all);
int flat_segments_end(struct flat_segments *s, struct flatiommu_lookup *arg, u64 done, int ret);

/*
 * Adds a range to the array. Does not sleep; called for each page of scattered memory. Returns
 * false if @buf is full: flat_segments_flush() may make room.
 */
static inline bool flat_segments_add(struct flat_segments *s, u64 bus, u64 length, u32 flags)
{
	struct flatiommu_segment *last = s->next - 1;

	if (s->next > s->buf && last->address + last->length == bus && last->flags == flags) {
		last->length += length;
		return true;
	}
	if (s->next == s->end)
		return false;
	*s->next++ = (struct flatiommu_segment) {
		.address = bus,
		.length = length,
		.flags = flags,
	};
	return true;
}

#endif /* FLATIOMMU_SEGMENTS_H */
