// SPDX-License-Identifier: GPL-2.0-only
/* The array of segments that a LOOKUP writes: neighbours become one, a page goes out at a time. */
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "segments.h"

#define PER_PAGE (PAGE_SIZE / sizeof(struct flatiommu_segment))

/**
 * flat_segments_begin() - for a LOOKUP
 * @s:		filled; ends with flat_segments_end()
 * @arg:	of which the length and the array are checked
 *
 * Returns 0, -EINVAL or -ENOMEM.
 */
int flat_segments_begin(struct flat_segments *s, const struct flatiommu_lookup *arg)
{
	u64 last;

	if (!arg->length || !arg->nr_segments ||
	    check_add_overflow(arg->start, arg->length - 1, &last))
		return -EINVAL;
	*s = (struct flat_segments) {
		.user = u64_to_user_ptr(arg->segments),
		.room = arg->nr_segments,
		.buf = (void *)__get_free_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO),
	};
	return s->buf ? 0 : -ENOMEM;
}

/* What is pinned and has a page that is not reserved is RAM; only what has none costs a search. */
static bool is_mmio(phys_addr_t phys)
{
	unsigned long pfn = PHYS_PFN(phys);

	if (pfn_valid(pfn) && !PageReserved(pfn_to_page(pfn)))
		return false;
	return region_intersects(phys, 1, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) ==
	       REGION_DISJOINT;
}

/* Does not sleep. Returns whether there was a place for it; flat_segments_flush() may make one. */
bool flat_segments_add(struct flat_segments *s, dma_addr_t bus, phys_addr_t phys, u64 length)
{
	u32 flags = is_mmio(phys) ? FLATIOMMU_SEGMENT_MMIO : 0;
	struct flatiommu_segment *last = s->n ? &s->buf[s->n - 1] : NULL;

	if (last && last->address + last->length == bus && last->flags == flags) {
		last->length += length;
		return true;
	}
	if (s->n == PER_PAGE || s->n == s->room)
		return false;
	s->buf[s->n++] = (struct flatiommu_segment) {
		.address = bus,
		.length = length,
		.flags = flags,
	};
	return true;
}

/* Writes @all to the program, or all but the last one, which may grow. Returns 0 or -EFAULT. */
int flat_segments_flush(struct flat_segments *s, bool all)
{
	unsigned int n = all || !s->n ? s->n : s->n - 1;

	if (!n)
		return 0;
	if (copy_to_user(s->user, s->buf, n * sizeof(*s->buf)))
		return -EFAULT;
	s->user += n;
	s->room -= n;
	s->written += n;
	s->n -= n;
	s->buf[0] = s->buf[n % PER_PAGE];
	return 0;
}

/**
 * flat_segments_end() - the last segments, and what the LOOKUP answers
 * @s:		from flat_segments_begin()
 * @arg:	written
 * @done:	bytes that were added; 0 is an error
 * @ret:	0, or an error so far
 *
 * Returns 0 or an error of FLATIOMMU_LOOKUP.
 */
int flat_segments_end(struct flat_segments *s, struct flatiommu_lookup *arg, u64 done, int ret)
{
	if (!ret && !done)
		ret = -ENOENT;
	if (!ret)
		ret = flat_segments_flush(s, true);
	arg->nr_segments = s->written;
	arg->length = done;
	free_page((unsigned long)s->buf);
	return ret;
}
