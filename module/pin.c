// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is pinned: the pages, as runs that are contiguous on the bus, and the functions that
 * they are for. Guards have the functions, which are stopped before the pages go; or a domain holds
 * the pages, with FLATIOMMU_PIN_VFIO, until VFIO has stopped all that was attached to it.
 *
 * The core frees a domain when nothing is attached to it. VFIO detaches a function when it has
 * closed it, that is, stopped and reset it, and iommufd also by DETACH, where flat_blocked_attach()
 * stops it. So what the domain holds is let go in the order of what type1 and iommufd have mapped,
 * whichever file is closed first, and whoever has the others.
 */
#include <linux/capability.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <linux/flatiommu.h>

#include "account.h"
#include "declare.h"
#include "file.h"
#include "flatiommu.h"
#include "function.h"
#include "guard.h"
#include "pages.h"
#include "pin.h"
#include "segments.h"

/**
 * struct flat_pin - pinned memory; does not change once it has its number
 * @refs:	the file's, the domain's, and one for each look-up that is under way
 * @mm:		whose RLIMIT_MEMLOCK it counts against; a reference to the struct is held
 * @offset:	of the first byte in the first page
 * @length:	bytes
 * @writable:	the functions may write to it
 * @stops:	the functions are stopped before it is let go
 * @told:	a program knows of it, so the functions may be using it; xa_lock(&file->pins)
 * @counted:	the functions' guards count it; of one that a domain holds: a program may know of it
 * @nr_accounted: pages
 * @pages:	the memory
 * @domain:	holds it, too, or did until it ended; a reference is held. NULL: there are guards
 * @held:	in @domain->pins; @domain->lock
 * @nr_guards:	length of @guards
 * @guards:	the functions
 */
struct flat_pin {
	refcount_t refs;
	struct mm_struct *mm;
	unsigned long offset;
	u64 length;
	bool writable;
	bool stops;
	bool told;
	bool counted;
	unsigned long nr_accounted;
	struct flat_pages pages;
	struct flat_domain *domain;
	struct list_head held;
	unsigned int nr_guards;
	struct flat_guard *guards[];
};

/* The functions do not use it any more. @stop those that have no other pin. */
static void uncount_pin(struct flat_pin *p, bool stop)
{
	unsigned int i;

	if (p->counted)
		for (i = 0; i < p->nr_guards; i++)
			flat_guard_unpinned(p->guards[i], stop);
	p->counted = false;
}

/*
 * Gives back what there is, of a pin that may not have come far. @stop the functions that have no
 * other one.
 */
static void destroy_pin(struct flat_pin *p, bool stop)
{
	unsigned int i;

	uncount_pin(p, stop);
	for (i = 0; i < p->nr_guards; i++)
		flat_guard_put(p->guards[i]);
	flat_pages_unpin(&p->pages, p->writable);
	flat_unaccount(p->mm, p->nr_accounted);
	mmdrop(p->mm);
	if (p->domain)
		flat_domain_put(p->domain);
	kfree(p);
}

static void put_pin(struct flat_pin *p)
{
	if (refcount_dec_and_test(&p->refs))
		destroy_pin(p, true);
}

/* The domain holds the memory from now on, or -ENOENT: it has ended. */
static int hold(struct flat_pin *p)
{
	struct flat_domain *d = p->domain;
	int ret = -ENOENT;

	spin_lock(&d->lock);
	if (!d->ended) {
		refcount_inc(&p->refs);
		list_add_tail(&p->held, &d->pins);
		ret = 0;
	}
	spin_unlock(&d->lock);
	return ret;
}

/* The program says that nothing uses the memory, so the domain need not hold it: as an unmap. */
static void let_go(struct flat_pin *p)
{
	struct flat_domain *d = p->domain;
	bool held;

	spin_lock(&d->lock);
	held = !list_empty(&p->held);
	list_del_init(&p->held);
	/* A function that is paused does not go on with it. */
	d->unmaps += held;
	spin_unlock(&d->lock);
	if (held)
		put_pin(p);
}

/* The core frees @d: nothing is attached to it, nor will be. */
void flat_let_pins_go(struct flat_domain *d)
{
	struct flat_pin *p;

	spin_lock(&d->lock);
	d->ended = true;
	while ((p = list_first_entry_or_null(&d->pins, struct flat_pin, held))) {
		list_del_init(&p->held);
		spin_unlock(&d->lock);
		put_pin(p);
		spin_lock(&d->lock);
	}
	spin_unlock(&d->lock);
}

/* The functions that the pin is for, in one way or the other. */
static int guard_functions(struct flat_pin *p, struct pci_dev **pdevs, unsigned int n)
{
	struct flat_guard *guard;
	unsigned int i;

	for (i = 0; i < n; i++) {
		guard = flat_guard_get(pdevs[i], p->stops);
		if (IS_ERR(guard))
			return PTR_ERR(guard);
		p->guards[p->nr_guards++] = guard;
	}
	return 0;
}

static int find_domain(struct flat_pin *p, struct flat_file *f, struct pci_dev **pdevs,
		       unsigned int n)
{
	struct flat_domain *d;
	unsigned int i;

	for (i = 0; i < n; i++)
		if (flat_locked_down(pdevs[i]))
			return -EACCES;
	d = flat_shared_domain(f, pdevs, n);
	if (IS_ERR(d))
		return PTR_ERR(d);
	p->domain = d;
	return 0;
}

static struct flat_pin *new_pin(struct flat_file *f, const struct flatiommu_pin *arg)
{
	bool vfio = arg->flags & FLATIOMMU_PIN_VFIO;
	struct pci_dev *pdevs[FLATIOMMU_MAX_FUNCTIONS];
	struct flat_pin *p;
	int ret;

	ret = flat_get_functions(arg->functions, arg->nr_functions, pdevs);
	if (ret)
		return ERR_PTR(ret);
	p = kzalloc(struct_size(p, guards, vfio ? 0 : arg->nr_functions), GFP_KERNEL_ACCOUNT);
	if (!p) {
		ret = -ENOMEM;
		goto put;
	}
	refcount_set(&p->refs, 1);
	flat_pages_init(&p->pages);
	INIT_LIST_HEAD(&p->held);
	p->mm = current->mm;
	mmgrab(p->mm);
	p->offset = offset_in_page(arg->vaddr);
	p->length = arg->length;
	p->writable = !(arg->flags & FLATIOMMU_PIN_READ_ONLY);
	p->stops = !(arg->flags & FLATIOMMU_PIN_NO_STOP);
	ret = vfio ? find_domain(p, f, pdevs, arg->nr_functions) :
		     guard_functions(p, pdevs, arg->nr_functions);
	if (ret)
		destroy_pin(p, false);
put:
	flat_put_functions(pdevs, arg->nr_functions);
	return ret ? ERR_PTR(ret) : p;
}

/* Runs that are looked at without a chance for others. */
#define RUNS_AT_ONCE 256

/* FLATIOMMU_LOOKUP, of a pin that is neither ended nor changed meanwhile */
static int look_up(const struct flat_pin *p, const struct flat_bus_map *map,
		   struct flatiommu_lookup *arg)
{
	u64 pos, length, at, size, left, bus;
	struct flat_segments s;
	unsigned long i;
	int ret;

	ret = flat_segments_begin(&s, arg);
	if (ret)
		return ret;
	if (arg->start >= p->length)
		return flat_segments_end(&s, arg, 0, -ENOENT);
	pos = p->offset + arg->start;
	length = min(arg->length, p->length - arg->start);
	i = flat_pages_find(&p->pages, pos >> PAGE_SHIFT);
	/* In the run. */
	at = pos - PFN_PHYS(p->pages.runs[i].first);
	for (left = length; !ret && left; left -= size, at = 0, i++) {
		const struct flat_run *run = &p->pages.runs[i];

		size = PFN_PHYS(flat_pages_end(&p->pages, i) - run->first) - at;
		size = min(size, left);
		bus = flat_bus_address(map, PFN_PHYS(run->pfn) + at, size);
		if (bus == DMA_MAPPING_ERROR) {
			ret = left < length ? 0 : -ERANGE;
			break;
		}
		/* What can be pinned is memory. */
		if (!flat_segments_add(&s, bus, size, 0)) {
			ret = flat_segments_flush(&s, false);
			if (ret || !flat_segments_add(&s, bus, size, 0))
				break;
		}
		if (!(i % RUNS_AT_ONCE)) {
			cond_resched();
			if (fatal_signal_pending(current))
				ret = -EINTR;
		}
	}
	return flat_segments_end(&s, arg, length - left, ret);
}

/* The functions' guards count the pin from now on, if it stops them. */
static void count_pin(struct flat_pin *p)
{
	unsigned int i;

	if (!p->stops)
		return;
	for (i = 0; i < p->nr_guards; i++)
		flat_guard_pinned(p->guards[i]);
	p->counted = true;
}

/*
 * Once segments are written other threads of the program may know them, whatever becomes of the
 * call.
 */
static int write_segments(struct flat_pin *p, struct flatiommu_pin *arg)
{
	struct flatiommu_lookup lookup = {
		.length = p->length,
		.nr_segments = arg->nr_segments,
		.segments = arg->segments,
	};
	int ret;

	if (!arg->nr_segments)
		return 0;
	count_pin(p);
	if (p->domain)
		ret = look_up(p, &p->domain->bus_map, &lookup);
	else if (!flat_guard_has_ended(p->guards[0]))
		ret = look_up(p, &p->guards[0]->bus_map, &lookup);
	else
		/* It has gone while the memory was pinned. */
		ret = -ENODEV;
	/* Nothing was written: nobody knows of it, and the functions go on. */
	if (ret == -ERANGE || ret == -ENOMEM || ret == -ENODEV)
		uncount_pin(p, false);
	arg->nr_segments = lookup.nr_segments;
	arg->out_length = lookup.length;
	return ret;
}

/*
 * The call fails. What a program may know of stops its functions, or stays with the domain until
 * that ends: a program that is being killed fails here, too.
 */
static void give_up(struct flat_pin *p)
{
	if (!p->domain) {
		destroy_pin(p, true);
		return;
	}
	if (!p->counted)
		let_go(p);
	put_pin(p);
}

/* FLATIOMMU_PIN, to be followed by flat_end_pin() */
int flat_pin(struct flat_file *f, struct flatiommu_pin *arg)
{
	struct flat_pin *p;
	unsigned long n;
	u64 last;
	int ret;

	if (f->mm != current->mm || !capable(CAP_SYS_RAWIO))
		return -EPERM;
	if (!arg->length || check_add_overflow(arg->vaddr, arg->length - 1, &last))
		return -EINVAL;
	/* The domain's pins never stop a function. */
	if (arg->flags & FLATIOMMU_PIN_VFIO && arg->flags & FLATIOMMU_PIN_NO_STOP)
		return -EINVAL;
	if (!access_ok((void __user *)(unsigned long)arg->vaddr, arg->length))
		return -EFAULT;
	p = new_pin(f, arg);
	if (IS_ERR(p))
		return PTR_ERR(p);
	n = (last >> PAGE_SHIFT) - (arg->vaddr >> PAGE_SHIFT) + 1;
	arg->out_length = 0;
	ret = flat_account(p->mm, n);
	if (ret)
		goto give_up;
	p->nr_accounted = n;
	ret = flat_pages_pin(&p->pages, arg->vaddr & PAGE_MASK, n, p->writable);
	if (!ret && p->domain)
		ret = hold(p);
	if (!ret)
		ret = write_segments(p, arg);
	if (ret)
		goto give_up;
	ret = xa_alloc(&f->pins, &arg->out_pin, p, xa_limit_31b, GFP_KERNEL_ACCOUNT);
	if (!ret)
		return 0;
	/* -EBUSY is for a function. */
	if (ret == -EBUSY)
		ret = -ENOSPC;
give_up:
	give_up(p);
	return ret;
}

/*
 * The program was told the pin's number, or could not be: then there never was one. Until here
 * nobody who guesses the number gets at it, nor does it count for the functions unless segments
 * were written, so that another pin that goes meanwhile is the last one.
 */
void flat_end_pin(struct flat_file *f, u32 id, bool told)
{
	struct flat_pin *p = xa_load(&f->pins, id);

	if (!told) {
		xa_erase(&f->pins, id);
		give_up(p);
		return;
	}
	if (!p->counted)
		count_pin(p);
	xa_lock(&f->pins);
	p->told = true;
	xa_unlock(&f->pins);
}

/* FLATIOMMU_UNPIN */
int flat_unpin(struct flat_file *f, u32 id)
{
	struct flat_pin *p;

	if (f->mm != current->mm)
		return -EPERM;
	xa_lock(&f->pins);
	p = xa_load(&f->pins, id);
	if (p && p->told)
		__xa_erase(&f->pins, id);
	else
		p = NULL;
	xa_unlock(&f->pins);
	if (!p)
		return -ENOENT;
	if (p->domain)
		let_go(p);
	put_pin(p);
	return 0;
}

/* The file is closed, and nobody has said that the functions are done with what is pinned. */
void flat_unpin_all(struct flat_file *f)
{
	struct flat_closing closing;
	struct flat_pin *p;
	unsigned long id;
	unsigned int i;

	flat_guard_new_close(&closing);
	xa_for_each(&f->pins, id, p)
		for (i = 0; p->stops && i < p->nr_guards; i++)
			flat_guard_close(p->guards[i], &closing);
	xa_for_each(&f->pins, id, p)
		if (refcount_dec_and_test(&p->refs))
			destroy_pin(p, false);
	xa_destroy(&f->pins);
}

/* A reference for the caller, or NULL. */
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

/* The guard of a function that the pin is for, and that is there still, or NULL. */
static struct flat_guard *guard_of(struct flat_pin *p, const struct flatiommu_function *name)
{
	unsigned int i;

	for (i = 0; i < p->nr_guards; i++)
		if (!memcmp(&p->guards[i]->name, name, sizeof(*name)) &&
		    !flat_guard_has_ended(p->guards[i]))
			return p->guards[i];
	return NULL;
}

/* How a function that the pin is for sees memory, or NULL. */
static const struct flat_bus_map *map_of(struct flat_file *f, struct flat_pin *p,
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
	map = map_of(f, p, &arg->function);
	ret = map ? look_up(p, map, arg) : -ENODEV;
	put_pin(p);
	return ret;
}
