// SPDX-License-Identifier: GPL-2.0-only
/* The array of segments that LOOKUP writes: merges neighbours, and copies many at a time. */
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "segments.h"

/* From now on @s->buf begins with @n segments that are not copied yet. */
static void set_buffered(struct flat_segments *s, unsigned int n)
{
	s->next = s->buf + n;
	s->end = s->buf + min(s->max, s->room);
}

/**
 * flat_segments_begin() - begin the array of a LOOKUP
 * @s:		initialised, to be ended with flat_segments_end()
 * @arg:	the call's argument; its range and the length of its array are checked
 *
 * Returns 0, -EINVAL or -ENOMEM.
 */
int flat_segments_begin(struct flat_segments *s, const struct flatiommu_lookup *arg)
{
	u64 last;

	if (!arg->length || !arg->nr_segments ||
	    check_add_overflow(arg->start, arg->length - 1, &last))
		return -EINVAL;
	s->user = u64_to_user_ptr(arg->segments);
	s->room = arg->nr_segments;
	s->written = 0;
	s->buf = s->few;
	s->max = FLAT_FEW_SEGMENTS;
	if (arg->nr_segments > FLAT_FEW_SEGMENTS) {
		s->buf = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
		s->max = PAGE_SIZE / sizeof(*s->buf);
	}
	if (!s->buf)
		return -ENOMEM;
	set_buffered(s, 0);
	return 0;
}

/*
 * Returns FLATIOMMU_SEGMENT_*. Memory with a page that is not reserved is RAM. The rest needs a
 * search of the resource tree.
 */
u32 flat_segment_flags(phys_addr_t phys)
{
	unsigned long pfn = PHYS_PFN(phys);

	if (pfn_valid(pfn) && !PageReserved(pfn_to_page(pfn)))
		return 0;
	return region_intersects(phys, 1, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) ==
	       REGION_DISJOINT ? FLATIOMMU_SEGMENT_MMIO : 0;
}

/*
 * Copies segments to the program: @all, or all but the last one, which may still grow. Returns 0 or
 * -EFAULT.
 */
int flat_segments_flush(struct flat_segments *s, bool all)
{
	unsigned int buffered = s->next - s->buf, n = buffered;

	if (!all && n)
		n--;
	if (!n)
		return 0;
	if (copy_to_user(s->user, s->buf, n * sizeof(*s->buf)))
		return -EFAULT;
	s->user += n;
	s->room -= n;
	s->written += n;
	if (buffered > n)
		s->buf[0] = s->buf[n];
	set_buffered(s, buffered - n);
	return 0;
}

/**
 * flat_segments_end() - copy the last segments and fill in the results of the LOOKUP
 * @s:		from flat_segments_begin()
 * @arg:	gets the results
 * @done:	bytes that were added; 0 without another error is -ENOENT
 * @ret:	0, or an earlier error
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
	if (s->buf != s->few)
		free_page((unsigned long)s->buf);
	return ret;
}
