// SPDX-License-Identifier: GPL-2.0-only
/* LOOKUP of a pin: the segments of its memory, as a function sees them. */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include <linux/flatiommu.h>

#include "declare.h"
#include "file.h"
#include "flatiommu.h"
#include "function.h"
#include "guard.h"
#include "pin.h"
#include "segments.h"

/* Runs to look up before cond_resched(). */
#define RUNS_AT_ONCE 256

/* FLATIOMMU_LOOKUP of a pin; the caller has a reference to it. */
int flat_tell_pin(const struct flat_pin *p, const struct flat_bus_map *map,
		  struct flatiommu_lookup *arg)
{
	u64 start, end, pos, next, size, bus;
	struct flat_segments s;
	unsigned long i;
	int ret;

	ret = flat_segments_begin(&s, arg);
	if (ret)
		return ret;
	if (arg->start >= p->length)
		return flat_segments_end(&s, arg, 0, -ENOENT);
	/* Bytes from the beginning of the first page. */
	start = offset_in_page(p->vaddr) + arg->start;
	end = start + min(arg->length, p->length - arg->start);
	i = flat_pages_find(&p->pages, start >> PAGE_SHIFT);
	for (pos = start; !ret && pos < end; pos += size) {
		const struct flat_run *run = &p->pages.runs[i];

		next = PFN_PHYS(flat_pages_end(&p->pages, i));
		size = min(next, end) - pos;
		bus = flat_bus_address_up_to(map, PFN_PHYS(run->pfn - run->first) + pos, &size);
		if (bus == DMA_MAPPING_ERROR) {
			ret = pos > start ? 0 : -ERANGE;
			break;
		}
		/* No FLATIOMMU_SEGMENT_MMIO: only memory can be pinned. */
		if (!flat_segments_add(&s, bus, size, 0)) {
			ret = flat_segments_flush(&s, false);
			if (ret || !flat_segments_add(&s, bus, size, 0))
				break;
		}
		/* The rest of the run may have another bus address, or none. */
		if (pos + size == next)
			i++;
		if (!(i % RUNS_AT_ONCE)) {
			cond_resched();
			if (fatal_signal_pending(current))
				ret = -EINTR;
		}
	}
	return flat_segments_end(&s, arg, pos - start, ret);
}

/* Returns the pin's guard of a function, or NULL if there is none or the function was removed. */
static struct flat_guard *guard_of(struct flat_pin *p, const struct flatiommu_function *name)
{
	unsigned int i;

	for (i = 0; i < p->nr_guards; i++)
		if (!memcmp(&p->guards[i]->name, name, sizeof(*name)) &&
		    !flat_guard_has_ended(p->guards[i]))
			return p->guards[i];
	return NULL;
}

/* Returns how a function of the pin sees memory, or NULL if the pin is not for that function. */
static const struct flat_bus_map *map_of_pin(struct flat_file *f, struct flat_pin *p,
					     const struct flatiommu_function *name)
{
	const struct flat_bus_map *map = NULL;
	struct flat_guard *guard;
	struct flat_domain *d;
	struct pci_dev *pdev;

	if (!p->domain) {
		guard = guard_of(p, name);
		return guard ? &guard->bus_map : NULL;
	}
	if (flat_get_function(name, &pdev))
		return NULL;
	d = flat_shared_domain(f, &pdev, 1);
	pci_dev_put(pdev);
	if (IS_ERR(d))
		return NULL;
	if (d == p->domain)
		map = &d->bus_map;
	flat_domain_put(d);
	return map;
}

/* Returns the pin with a reference for the caller, or NULL. */
static struct flat_pin *get_pin(struct flat_file *f, u32 id)
{
	struct flat_pin *p;

	xa_lock(&f->pins);
	p = xa_load(&f->pins, id);
	if (p && p->told)
		refcount_inc(&p->refs);
	else
		p = NULL;
	xa_unlock(&f->pins);
	return p;
}

/* FLATIOMMU_LOOKUP of a pin */
int flat_lookup_pin(struct flat_file *f, struct flatiommu_lookup *arg)
{
	const struct flat_bus_map *map;
	struct flat_pin *p;
	int ret;

	if (f->mm != current->mm)
		return -EPERM;
	if (arg->function.reserved)
		return -EOPNOTSUPP;
	p = get_pin(f, arg->pin);
	if (!p)
		return -ENOENT;
	map = map_of_pin(f, p, &arg->function);
	ret = map ? flat_tell_pin(p, map, arg) : -ENODEV;
	flat_pin_put(p);
	return ret;
}
