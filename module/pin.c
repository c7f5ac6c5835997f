// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pins: the pages, as runs that are contiguous in memory, and the functions that they are pinned
 * for. There are two kinds of pins:
 * - with guards, one for each function: a guard stops its function at the end of its last pin, and
 *   at the close of the file, before the pages are unpinned;
 * - with FLATIOMMU_PIN_VFIO: these belong to the functions' domain. The domain keeps the pages
 *   pinned until VFIO has stopped all functions that were attached to it.
 *
 * The core frees a domain when nothing is attached to it. VFIO detaches a function after it has
 * stopped and reset it, at its close. iommufd also detaches it by DETACH, where
 * flat_blocked_attach() stops it. So the pages of a domain's pins are unpinned at the same time as
 * the pages that type1 and iommufd have mapped, in whatever order the files are closed, and
 * whatever process has them open.
 */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include <linux/flatiommu.h>

#include "account.h"
#include "attach.h"
#include "declare.h"
#include "dmabuf.h"
#include "file.h"
#include "flatiommu.h"
#include "function.h"
#include "guard.h"
#include "history.h"
#include "hold.h"
#include "pages.h"
#include "pin.h"

/* Records an event in the histories of the pin's functions. */
void flat_pin_record(const struct flat_pin *p, u32 type)
{
	u64 vaddr = p->vaddr & PAGE_MASK;
	unsigned int i;

	if (p->domain)
		flat_record_pages(p->domain, type, vaddr, &p->pages);
	for (i = 0; i < p->nr_guards; i++)
		flat_record_pages_of(p->guards[i]->pdev, type, vaddr, &p->pages);
}

/* Uncounts the pin in its guards. For @stop and the return value see flat_guard_unpinned(). */
bool flat_pin_uncount(struct flat_pin *p, bool stop)
{
	bool held = false;
	unsigned int i;

	if (p->counted)
		for (i = 0; i < p->nr_guards; i++)
			held |= flat_guard_unpinned(p->guards[i], stop);
	p->counted = false;
	return held;
}

/* Gives the pages back. Returns as flat_pin_uncount(). */
static bool end_pin(struct flat_pin *p, bool stop)
{
	bool held = flat_pin_uncount(p, stop);
	unsigned int i;

	if (p->recorded)
		flat_pin_record(p, p->held ? FLATIOMMU_EVENT_RELEASE : FLATIOMMU_EVENT_UNPIN);
	for (i = 0; i < p->nr_guards; i++) {
		if (p->held)
			flat_guard_unhold(p->guards[i]);
		flat_guard_put(p->guards[i]);
	}
	flat_pages_unpin(&p->pages, p->writable);
	flat_dmabuf_put(p->dmabuf, p->domain);
	cond_resched();
	return held;
}

static void free_pin(struct flat_pin *p)
{
	mmdrop(p->mm);
	if (p->domain)
		flat_domain_put(p->domain);
	kfree(p);
}

/* Frees a pin, also a half-made one. @stop: see flat_guard_unpinned(). */
void flat_pin_destroy(struct flat_pin *p, bool stop)
{
	bool held = end_pin(p, stop);

	flat_unaccount(p->mm, p->nr_accounted);
	free_pin(p);
	if (held)
		flat_hold_quiet_pins();
}

void flat_pin_put(struct flat_pin *p)
{
	if (refcount_dec_and_test(&p->refs))
		flat_pin_destroy(p, true);
}

static void unaccount(struct work_struct *work)
{
	struct flat_pin *p = container_of(work, struct flat_pin, unaccount);

	flat_unaccount(p->mm, p->nr_accounted);
	free_pin(p);
}

/*
 * As flat_pin_put(), for a pin of a domain in an unmap. Does not wait for the lock of the address
 * space that the pin is accounted to: iommufd may have taken it.
 */
void flat_pin_put_in_unmap(struct flat_pin *p)
{
	if (!refcount_dec_and_test(&p->refs))
		return;
	end_pin(p, true);
	if (flat_try_unaccount(p->mm, p->nr_accounted)) {
		free_pin(p);
		return;
	}
	INIT_WORK(&p->unaccount, unaccount);
	queue_work(flat_wq, &p->unaccount);
}

/* Adds the pin to the pins of its domain. Returns 0, or -ENOENT if the domain has ended. */
static int add_to_domain(struct flat_pin *p)
{
	struct flat_domain *d = p->domain;
	int ret = -ENOENT;

	spin_lock(&d->lock);
	if (!d->ended) {
		refcount_inc(&p->refs);
		list_add_tail(&p->of_domain, &d->pins);
		ret = 0;
	}
	spin_unlock(&d->lock);
	return ret;
}

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
	INIT_LIST_HEAD(&p->of_domain);
	p->mm = current->mm;
	mmgrab(p->mm);
	p->vaddr = arg->vaddr;
	p->length = arg->length;
	p->writable = !(arg->flags & FLATIOMMU_PIN_READ_ONLY);
	p->stops = !(arg->flags & FLATIOMMU_PIN_NO_STOP);
	ret = vfio ? find_domain(p, f, pdevs, arg->nr_functions) :
		     guard_functions(p, pdevs, arg->nr_functions);
	if (ret)
		flat_pin_destroy(p, false);
put:
	flat_put_functions(pdevs, arg->nr_functions);
	return ret ? ERR_PTR(ret) : p;
}

/* Counts the pin in its guards, if its end stops the functions. */
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
 * Writes the addresses of a new pin, if the program asks for them. The pin counts from then on,
 * also if the call fails later: another thread of the program may have read them.
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
		ret = flat_tell_pin(p, &p->domain->bus_map, &lookup);
	else if (!flat_guard_has_ended(p->guards[0]))
		ret = flat_tell_pin(p, &p->guards[0]->bus_map, &lookup);
	else
		/* The function was removed while the memory was being pinned. */
		ret = -ENODEV;
	/* Nothing was written, so no program knows of the pin: do not stop the functions. */
	if ((ret == -ERANGE || ret == -ENOMEM || ret == -ENODEV) && flat_pin_uncount(p, false))
		flat_hold_quiet_pins();
	arg->nr_segments = lookup.nr_segments;
	arg->out_length = lookup.length;
	return ret;
}

/*
 * Ends a pin whose call fails, for example because the program is killed. If a program may know of
 * the pin, its guards stop the functions or, if it belongs to a domain, the domain keeps the pages
 * pinned until the domain ends.
 */
static void give_up(struct flat_pin *p)
{
	if (!p->domain) {
		flat_pin_destroy(p, true);
		return;
	}
	if (!p->counted)
		flat_pin_let_go(p, false);
	flat_pin_put(p);
}

static int account(struct flat_pin *p, unsigned long pages)
{
	int ret = flat_account(p->mm, pages);

	if (!ret)
		p->nr_accounted = pages;
	return ret;
}

/*
 * The exporter of a dma-buf accounts for its memory as it likes. The kernel memory of an attachment
 * is accounted here, because many pins of one dma-buf could need more memory than it has.
 */
static int get_pages(struct flat_pin *p, const struct flatiommu_pin *arg, unsigned long n)
{
	struct flat_dmabuf *dmabuf;
	int ret;

	if (arg->flags & FLATIOMMU_PIN_DMABUF) {
		dmabuf = flat_dmabuf_get(&p->pages, arg->dmabuf, arg->vaddr >> PAGE_SHIFT, n,
					 p->writable);
		if (IS_ERR(dmabuf))
			return PTR_ERR(dmabuf);
		p->dmabuf = dmabuf;
		return account(p, flat_dmabuf_overhead(dmabuf));
	}
	ret = account(p, n);
	return ret ? ret : flat_pages_pin(&p->pages, arg->vaddr & PAGE_MASK, n, p->writable);
}

/* FLATIOMMU_PIN; after success the caller calls flat_end_pin(). */
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
	/* The end of a domain's pin never stops a function. */
	if (arg->flags & FLATIOMMU_PIN_VFIO && arg->flags & FLATIOMMU_PIN_NO_STOP)
		return -EINVAL;
	if (!(arg->flags & FLATIOMMU_PIN_DMABUF) &&
	    !access_ok((void __user *)(unsigned long)arg->vaddr, arg->length))
		return -EFAULT;
	p = new_pin(f, arg);
	if (IS_ERR(p))
		return PTR_ERR(p);
	n = (last >> PAGE_SHIFT) - (arg->vaddr >> PAGE_SHIFT) + 1;
	arg->out_length = 0;
	ret = get_pages(p, arg, n);
	if (!ret && p->domain)
		ret = add_to_domain(p);
	if (ret)
		goto give_up;
	p->recorded = true;
	flat_pin_record(p, FLATIOMMU_EVENT_PIN);
	ret = write_segments(p, arg);
	if (ret)
		goto give_up;
	ret = xa_alloc(&f->pins, &arg->out_pin, p, xa_limit_31b, GFP_KERNEL_ACCOUNT);
	if (!ret)
		return 0;
	/* xa_alloc() has no number left. -EBUSY means something else in this call. */
	if (ret == -EBUSY)
		ret = -ENOSPC;
give_up:
	give_up(p);
	return ret;
}

/*
 * Second half of FLATIOMMU_PIN, after the number was copied to the program. Undoes the pin if that
 * has failed.
 *
 * Before this call
 * - the pin can be neither looked up nor unpinned, even with a guessed number;
 * - the guards do not count it, unless segments were written: so the end of a function's last other
 *   pin stops the function.
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

/* Have all functions of @p been stopped since it was unpinned? */
bool flat_pin_is_quiet(const struct flat_pin *p)
{
	unsigned int i;

	for (i = 0; i < p->nr_guards; i++)
		if (!flat_guard_is_quiet(p->guards[i]))
			return false;
	return true;
}

/* Are all functions of @p, a pin that has guards, among @pdevs? */
bool flat_pin_is_for(const struct flat_pin *p, struct pci_dev **pdevs, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < p->nr_guards; i++)
		if (!flat_is_among(p->guards[i]->pdev, pdevs, n))
			return false;
	return true;
}
