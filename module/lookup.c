// SPDX-License-Identifier: GPL-2.0-only
/* Look-up mode: which IOVAs look-up maps may have, and LOOKUP of an IOVA. */
#include <linux/bits.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/ioport.h>
#include <linux/jiffies.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include <linux/flatiommu.h>

#include "declare.h"
#include "file.h"
#include "flatiommu.h"
#include "function.h"
#include "lookup.h"
#include "segments.h"

/* Is no memory, no PCI window and no other resource there? */
static bool is_hole(u64 iova, size_t size)
{
	return region_intersects(iova, size, IORESOURCE_MEM, IORES_DESC_NONE) == REGION_DISJOINT;
}

/* Bytes to check at once, because the next map mostly has the next IOVA. */
#define HOLE_SIZE BIT_ULL(40)

/*
 * Calls is_hole(), and remembers the answer for a second. Memory that is plugged in within that
 * second goes unnoticed, as does memory that is plugged in after the map.
 */
static bool was_hole(struct flat_hole *hole, u64 iova, size_t size)
{
	u64 first = round_down(iova, HOLE_SIZE), last = iova + size - 1;

	if (iova >= hole->first && last <= hole->last && time_before(jiffies, hole->until))
		return true;
	if (last - first >= HOLE_SIZE || !is_hole(first, HOLE_SIZE))
		return is_hole(iova, size);
	*hole = (struct flat_hole){
		.first = first,
		.last = first + HOLE_SIZE - 1,
		.until = jiffies + HZ,
	};
	return true;
}

/**
 * flat_is_lookup_iova() - may a look-up map have these IOVAs?
 * @d:		the domain; caller holds its lock
 * @iova:	first byte
 * @size:	bytes
 *
 * It may if nothing is at these bus addresses: then a program that forgets the look-up reaches
 * nothing. Below FLATIOMMU_LOOKUP_FIRST there may be memory that the kernel does not know of,
 * because of mem= and memmap=.
 */
bool flat_is_lookup_iova(struct flat_domain *d, u64 iova, size_t size)
{
	const struct flat_bus_map *map = &d->bus_map;
	const struct bus_dma_region *r = map->regions;

	if (iova < FLATIOMMU_LOOKUP_FIRST)
		return false;
	for (; r && r->size; r++)
		if (iova < r->dma_start + r->size && r->dma_start < iova + size)
			return false;
	if (map->mmio_last && iova <= map->mmio_last)
		return false;
	return was_hole(&d->hole, iova, size);
}

/* Has @mm mapped @e? A program must learn neither the addresses nor the maps of another one. */
static bool is_of(const struct flat_domain *d, const struct flat_extent *e,
		  const struct mm_struct *mm)
{
	lockdep_assert_held(&d->lock);
	return e->lookup ? d->lookup_mm == mm : d->strict_mm == mm && !d->strict_mixed;
}

/* Maximum number of extents to look at in one critical section. */
#define EXTENTS_AT_ONCE 256

/*
 * Adds the maps of @mm from @start on, at most @length bytes. Returns the bytes added: fewer at a
 * hole, when @s is full, or after EXTENTS_AT_ONCE.
 */
static u64 add_extents(struct flat_domain *d, const struct mm_struct *mm, u64 start, u64 length,
		       struct flat_segments *s)
{
	unsigned int budget = EXTENTS_AT_ONCE;
	struct flat_extent *e;
	u64 done = 0;

	spin_lock(&d->lock);
	for (e = flat_extents_find(&d->extents, start);
	     e && done < length && budget-- && e->iova <= start + done && is_of(d, e, mm);
	     e = flat_extents_next(e)) {
		u64 size = min(e->last - (start + done) + 1, length - done);
		phys_addr_t phys = e->phys + (start + done - e->iova);
		dma_addr_t bus = flat_bus_address(&d->bus_map, phys, size);

		if (bus == DMA_MAPPING_ERROR ||
		    !flat_segments_add(s, bus, size, flat_segment_flags(phys)))
			break;
		done += size;
	}
	spin_unlock(&d->lock);
	return done;
}

/* FLATIOMMU_LOOKUP of an IOVA */
int flat_lookup_iova(struct flat_file *f, struct flatiommu_lookup *arg)
{
	struct flat_segments s;
	struct flat_domain *d;
	struct pci_dev *pdev;
	u64 done = 0, n;
	int ret;

	if (f->mm != current->mm)
		return -EPERM;
	ret = flat_get_function(&arg->function, &pdev);
	if (ret)
		return ret;
	ret = flat_segments_begin(&s, arg);
	if (ret)
		goto put_function;
	d = flat_declared_domain(f, pdev);
	if (IS_ERR(d)) {
		ret = flat_segments_end(&s, arg, 0, PTR_ERR(d));
		goto put_function;
	}
	/* Write the array with no lock held: a page fault may last arbitrarily long. */
	do {
		n = add_extents(d, f->mm, arg->start + done, arg->length - done, &s);
		done += n;
		ret = flat_segments_flush(&s, false);
		cond_resched();
		if (fatal_signal_pending(current))
			ret = -EINTR;
	} while (!ret && n && done < arg->length);
	ret = flat_segments_end(&s, arg, done, ret);
	flat_domain_put(d);
put_function:
	pci_dev_put(pdev);
	return ret;
}
