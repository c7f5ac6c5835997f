// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory pinned without VFIO: the pages, as runs that are contiguous on the bus, and the functions
 * that they are for.
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

#include "file.h"
#include "function.h"
#include "guard.h"
#include "pages.h"
#include "pin.h"
#include "segments.h"

/**
 * struct flat_pin - pinned memory; does not change once it has its number
 * @refs:	the file's, and one for each look-up that is under way
 * @mm:		whose RLIMIT_MEMLOCK it counts against; a reference to the struct is held
 * @offset:	of the first byte in the first page
 * @length:	bytes
 * @writable:	the functions may write to it
 * @stops:	the functions are stopped before it is let go
 * @told:	a program knows of it, so the functions may be using it; xa_lock(&file->pins)
 * @counted:	the functions' guards count it
 * @nr_accounted: pages
 * @pages:	the memory
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
	unsigned int nr_guards;
	struct flat_guard *guards[];
};

static int account(struct flat_pin *p, unsigned long pages)
{
	int ret;

	if (mmap_write_lock_killable(p->mm))
		return -EINTR;
	ret = __account_locked_vm(p->mm, pages, true, current, capable(CAP_IPC_LOCK));
	mmap_write_unlock(p->mm);
	if (!ret)
		p->nr_accounted = pages;
	return ret;
}

static void unaccount(struct flat_pin *p)
{
	/* It has nothing to account any more once its last task is gone. */
	if (!p->nr_accounted || !mmget_not_zero(p->mm))
		return;
	mmap_write_lock(p->mm);
	__account_locked_vm(p->mm, p->nr_accounted, false, current, false);
	mmap_write_unlock(p->mm);
	mmput(p->mm);
}

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
	unaccount(p);
	mmdrop(p->mm);
	kfree(p);
}

static void put_pin(struct flat_pin *p)
{
	if (refcount_dec_and_test(&p->refs))
		destroy_pin(p, true);
}

static struct flat_pin *new_pin(const struct flatiommu_pin *arg)
{
	struct pci_dev *pdevs[FLATIOMMU_MAX_FUNCTIONS];
	struct flat_guard *guard;
	struct flat_pin *p;
	unsigned int i;
	int ret;

	ret = flat_get_functions(arg->functions, arg->nr_functions, pdevs);
	if (ret)
		return ERR_PTR(ret);
	p = kzalloc(struct_size(p, guards, arg->nr_functions), GFP_KERNEL_ACCOUNT);
	if (!p) {
		ret = -ENOMEM;
		goto put;
	}
	refcount_set(&p->refs, 1);
	flat_pages_init(&p->pages);
	p->mm = current->mm;
	mmgrab(p->mm);
	p->offset = offset_in_page(arg->vaddr);
	p->length = arg->length;
	p->writable = !(arg->flags & FLATIOMMU_PIN_READ_ONLY);
	p->stops = !(arg->flags & FLATIOMMU_PIN_NO_STOP);
	for (i = 0; i < arg->nr_functions; i++) {
		guard = flat_guard_get(pdevs[i], p->stops);
		if (IS_ERR(guard)) {
			ret = PTR_ERR(guard);
			destroy_pin(p, false);
			break;
		}
		p->guards[p->nr_guards++] = guard;
	}
put:
	flat_put_functions(pdevs, arg->nr_functions);
	return ret ? ERR_PTR(ret) : p;
}

/* Runs that are looked at without a chance for others. */
#define RUNS_AT_ONCE 256

/* FLATIOMMU_LOOKUP, of a pin that is neither ended nor changed meanwhile */
static int look_up(const struct flat_pin *p, const struct flat_guard *guard,
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
		bus = flat_bus_address(&guard->bus_map, PFN_PHYS(run->pfn) + at, size);
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
	ret = look_up(p, p->guards[0], &lookup);
	/* Nothing was written: nobody knows of it, and the functions go on. */
	if (ret == -ERANGE || ret == -ENOMEM)
		uncount_pin(p, false);
	arg->nr_segments = lookup.nr_segments;
	arg->out_length = lookup.length;
	return ret;
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
	if (!access_ok((void __user *)(unsigned long)arg->vaddr, arg->length))
		return -EFAULT;
	p = new_pin(arg);
	if (IS_ERR(p))
		return PTR_ERR(p);
	n = (last >> PAGE_SHIFT) - (arg->vaddr >> PAGE_SHIFT) + 1;
	arg->out_length = 0;
	ret = account(p, n);
	if (!ret)
		ret = flat_pages_pin(&p->pages, arg->vaddr & PAGE_MASK, n, p->writable);
	if (!ret)
		ret = write_segments(p, arg);
	if (ret)
		goto destroy;
	ret = xa_alloc(&f->pins, &arg->out_pin, p, xa_limit_31b, GFP_KERNEL_ACCOUNT);
	if (!ret)
		return 0;
	/* -EBUSY is for a function. */
	if (ret == -EBUSY)
		ret = -ENOSPC;
destroy:
	destroy_pin(p, true);
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
		destroy_pin(p, true);
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

/* FLATIOMMU_LOOKUP of a pin */
int flat_lookup_pin(struct flat_file *f, struct flatiommu_lookup *arg)
{
	struct flat_guard *guard;
	struct flat_pin *p;
	int ret;

	if (f->mm != current->mm)
		return -EPERM;
	if (arg->function.reserved)
		return -EOPNOTSUPP;
	p = get_pin(f, arg->pin);
	if (!p)
		return -ENOENT;
	guard = guard_of(p, &arg->function);
	ret = guard ? look_up(p, guard, arg) : -ENODEV;
	put_pin(p);
	return ret;
}
