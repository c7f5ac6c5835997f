// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory pinned without VFIO: the pages, as runs that are contiguous on the bus, and the functions
 * that they are for.
 */
#include <linux/capability.h>
#include <linux/dma-mapping.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <linux/flatiommu.h>

#include "compat.h"
#include "file.h"
#include "function.h"
#include "guard.h"
#include "pin.h"
#include "segments.h"

/**
 * struct flat_run - pages that follow each other
 * @pfn:	the first one
 * @first:	its place among the pages of the pin; the run ends where the next one begins
 * @order:	a pin holds so many pages: those of a huge page of hugetlb, or one
 */
struct flat_run {
	unsigned long pfn;
	unsigned long first;
	unsigned int order;
};

/**
 * struct flat_pin - pinned memory; does not change once it has its number
 * @refs:	the file's, and one for each look-up that is under way
 * @mm:		whose RLIMIT_MEMLOCK it counts against; a reference to the struct is held
 * @offset:	of the first byte in the first page
 * @length:	bytes
 * @writable:	the functions may write to it
 * @told:	a program knows of it, so the functions may be using it; xa_lock(&file->pins)
 * @nr_pages:	pages pinned, and so far while they are
 * @nr_accounted: pages
 * @runs:	all of the pages
 * @nr_runs:	their number
 * @max_runs:	for how many there is room
 * @nr_guards:	length of @guards
 * @guards:	the functions
 */
struct flat_pin {
	refcount_t refs;
	struct mm_struct *mm;
	unsigned long offset;
	u64 length;
	bool writable;
	bool told;
	unsigned long nr_pages;
	unsigned long nr_accounted;
	struct flat_run *runs;
	unsigned long nr_runs;
	unsigned long max_runs;
	unsigned int nr_guards;
	struct flat_guard *guards[];
};

static unsigned long end_of_run(const struct flat_pin *p, unsigned long i)
{
	return i + 1 < p->nr_runs ? p->runs[i + 1].first : p->nr_pages;
}

/* By hand, as kvrealloc() has more than one shape. */
static int grow_runs(struct flat_pin *p)
{
	unsigned long max = p->max_runs ? 2 * p->max_runs : 16;
	struct flat_run *runs;

	runs = kvmalloc_array(max, sizeof(*runs), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!runs)
		return -ENOMEM;
	if (p->nr_runs)
		memcpy(runs, p->runs, p->nr_runs * sizeof(*runs));
	kvfree(p->runs);
	p->runs = runs;
	p->max_runs = max;
	return 0;
}

/* @n pages from @pfn on, which follow those that the pin has. */
static int add_run(struct flat_pin *p, unsigned long pfn, unsigned long n, unsigned int order)
{
	struct flat_run *last = p->nr_runs ? &p->runs[p->nr_runs - 1] : NULL;

	if (!last || last->order != order || last->pfn + (p->nr_pages - last->first) != pfn) {
		if (p->nr_runs == p->max_runs && grow_runs(p))
			return -ENOMEM;
		p->runs[p->nr_runs++] = (struct flat_run) {
			.pfn = pfn,
			.first = p->nr_pages,
			.order = order,
		};
	}
	p->nr_pages += n;
	return 0;
}

/* Pages of a run that are let go without a chance for others; the run may be all of memory. */
#define UNPIN_AT_ONCE 1024

static void unpin_run(const struct flat_pin *p, unsigned long i)
{
	const struct flat_run *run = &p->runs[i];
	unsigned long end = run->pfn + (end_of_run(p, i) - run->first), pfn, next;

	for (pfn = run->pfn; pfn < end; pfn = next) {
		struct page *page = pfn_to_page(pfn);

		if (run->order) {
			next = ALIGN(pfn + 1, 1UL << run->order);
			unpin_user_pages_dirty_lock(&page, 1, p->writable);
		} else {
			next = min(pfn + UNPIN_AT_ONCE, end);
			unpin_user_page_range_dirty_lock(page, next - pfn, p->writable);
		}
		cond_resched();
	}
}

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

/*
 * Gives back what there is, of a pin that may not have come far. @stop the functions that have no
 * other one.
 */
static void destroy_pin(struct flat_pin *p, bool stop)
{
	unsigned long i;

	if (p->told)
		for (i = 0; i < p->nr_guards; i++)
			flat_guard_unpinned(p->guards[i], stop);
	for (i = 0; i < p->nr_guards; i++)
		flat_guard_put(p->guards[i]);
	for (i = 0; i < p->nr_runs; i++)
		unpin_run(p, i);
	unaccount(p);
	kvfree(p->runs);
	mmdrop(p->mm);
	kfree(p);
}

static void put_pin(struct flat_pin *p)
{
	if (refcount_dec_and_test(&p->refs))
		destroy_pin(p, true);
}

/* The pages of one call: a page of pointers to them. */
#define BATCH (PAGE_SIZE / sizeof(struct page *))

/*
 * Pins up to @n pages from @addr on. A huge page of hugetlb is pinned by any of its pages, so the
 * first page is asked for alone when it may be one. Returns 0, with p->nr_pages raised, or an
 * error.
 */
static int pin_some(struct flat_pin *p, unsigned long addr, unsigned long n, bool *huge,
		    struct page **pages)
{
	unsigned int flags = FOLL_LONGTERM | (p->writable ? FOLL_WRITE : 0);
	int i, got, ret = 0;

	if (!p->writable)
		flags |= flat_compat_pin_to_read(addr, &n);
	got = pin_user_pages_fast(addr, *huge ? 1 : min_t(unsigned long, n, BATCH), flags, pages);
	if (got == -ENOMEM || got == -EINTR)
		return got;
	/* Each kind of memory that cannot be pinned has an error of its own. */
	if (got <= 0)
		return -EFAULT;
	for (i = 0; i < got; i++) {
		struct folio *folio = page_folio(pages[i]);
		unsigned long count = 1;

		*huge = folio_test_hugetlb(folio);
		if (*huge)
			count = min_t(unsigned long, n - i, folio_nr_pages(folio) -
				      folio_page_idx(folio, pages[i]));
		ret = add_run(p, page_to_pfn(pages[i]), count, *huge ? folio_order(folio) : 0);
		if (ret)
			break;
		if (*huge) {
			i++;
			break;
		}
	}
	/* One that could not be added, and those behind the first of a huge page. */
	if (i < got)
		unpin_user_pages(pages + i, got - i);
	return ret;
}

static int pin_all(struct flat_pin *p, unsigned long addr, unsigned long n)
{
	struct page **pages = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	bool huge = true;
	int ret = 0;

	if (!pages)
		return -ENOMEM;
	while (!ret && p->nr_pages < n) {
		if (fatal_signal_pending(current))
			ret = -EINTR;
		else
			ret = pin_some(p, addr + p->nr_pages * PAGE_SIZE, n - p->nr_pages, &huge,
				       pages);
		cond_resched();
	}
	free_page((unsigned long)pages);
	return ret;
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
	p->mm = current->mm;
	mmgrab(p->mm);
	p->offset = offset_in_page(arg->vaddr);
	p->length = arg->length;
	p->writable = !(arg->flags & FLATIOMMU_PIN_READ_ONLY);
	for (i = 0; i < arg->nr_functions; i++) {
		guard = flat_guard_get(pdevs[i]);
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
	ret = account(p, n);
	if (!ret)
		ret = pin_all(p, arg->vaddr & PAGE_MASK, n);
	if (ret)
		goto destroy;
	ret = xa_alloc(&f->pins, &arg->out_pin, p, xa_limit_31b, GFP_KERNEL_ACCOUNT);
	if (!ret)
		return 0;
	/* -EBUSY is for a function. */
	if (ret == -EBUSY)
		ret = -ENOSPC;
destroy:
	destroy_pin(p, false);
	return ret;
}

/*
 * The program was told the pin's number, or could not be: then there never was one. Until here
 * nobody who guesses the number gets at it, nor does it count for the functions, so that another
 * pin that goes meanwhile is the last one.
 */
void flat_end_pin(struct flat_file *f, u32 id, bool told)
{
	struct flat_pin *p = xa_load(&f->pins, id);
	unsigned int i;

	if (!told) {
		xa_erase(&f->pins, id);
		destroy_pin(p, false);
		return;
	}
	for (i = 0; i < p->nr_guards; i++)
		flat_guard_pinned(p->guards[i]);
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
		for (i = 0; i < p->nr_guards; i++)
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

/* The run that has a page of the pin. */
static unsigned long find_run(const struct flat_pin *p, unsigned long page)
{
	unsigned long low = 0, high = p->nr_runs;

	while (high - low > 1) {
		unsigned long middle = low + (high - low) / 2;

		if (p->runs[middle].first <= page)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static int write_runs(struct flat_pin *p, struct flat_guard *guard, struct flatiommu_lookup *arg,
		      struct flat_segments *s)
{
	u64 pos = p->offset + arg->start, length = min(arg->length, p->length - arg->start);
	unsigned long i = find_run(p, pos >> PAGE_SHIFT);
	u64 done = 0;
	int ret = 0;

	while (!ret && done < length) {
		u64 at = pos + done - PFN_PHYS(p->runs[i].first);
		u64 size = min(PFN_PHYS(end_of_run(p, i)) - (pos + done), length - done);
		phys_addr_t phys = PFN_PHYS(p->runs[i].pfn) + at;
		dma_addr_t bus = flat_bus_address(&guard->bus_map, phys, size);

		if (bus == DMA_MAPPING_ERROR) {
			ret = done ? 0 : -ERANGE;
			break;
		}
		if (!flat_segments_add(s, bus, phys, size)) {
			ret = flat_segments_flush(s, false);
			if (ret || !flat_segments_add(s, bus, phys, size))
				break;
		}
		done += size;
		i++;
		cond_resched();
	}
	return flat_segments_end(s, arg, done, ret);
}

/* FLATIOMMU_LOOKUP of a pin */
int flat_lookup_pin(struct flat_file *f, struct flatiommu_lookup *arg)
{
	struct flat_guard *guard;
	struct flat_segments s;
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
	if (!guard) {
		ret = -ENODEV;
		goto put;
	}
	ret = flat_segments_begin(&s, arg);
	if (ret)
		goto put;
	if (arg->start >= p->length)
		ret = flat_segments_end(&s, arg, 0, -ENOENT);
	else
		ret = write_runs(p, guard, arg, &s);
put:
	put_pin(p);
	return ret;
}
