// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pins: the pages, as runs that are contiguous in memory, and the functions that they are pinned
 * for. A pin has one of two kinds of holders:
 * - Guards: each function has one, and is stopped before the pages go.
 * - With FLATIOMMU_PIN_VFIO, the functions' domain: it holds the pages until VFIO has stopped all
 *   functions that were attached to it.
 *
 * The core frees a domain when nothing is attached to it. VFIO detaches a function after it has
 * stopped and reset it, at its close. iommufd also detaches it by DETACH, where
 * flat_blocked_attach() stops it. So the pages that a domain holds are let go at the same time as
 * the pages that type1 and iommufd have mapped, in whatever order the files are closed, and
 * whatever process has them open.
 */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <linux/flatiommu.h>

#include "account.h"
#include "attach.h"
#include "declare.h"
#include "file.h"
#include "flatiommu.h"
#include "function.h"
#include "guard.h"
#include "history.h"
#include "hold.h"
#include "pages.h"
#include "pin.h"

/* In the histories of the functions that it is for. */
static void record(const struct flat_pin *p, u32 type)
{
	u64 vaddr = p->vaddr & PAGE_MASK;
	unsigned int i;

	if (p->domain)
		flat_record_pages(p->domain, type, vaddr, &p->pages);
	for (i = 0; i < p->nr_guards; i++)
		flat_record_pages_of(p->guards[i]->pdev, type, vaddr, &p->pages);
}

/*
 * Uncounts the pin in its guards. @stop: also stops each function that has no other pin. Returns
 * whether any has none.
 */
static bool uncount_pin(struct flat_pin *p, bool stop)
{
	bool last = false;
	unsigned int i;

	if (p->counted)
		for (i = 0; i < p->nr_guards; i++)
			last |= flat_guard_unpinned(p->guards[i], stop);
	p->counted = false;
	return last;
}

/*
 * Frees a pin, also a half-made one. @stop: also stops each function for which it was the last pin.
 */
static void destroy_pin(struct flat_pin *p, bool stop)
{
	unsigned int i;

	uncount_pin(p, stop);
	if (p->recorded)
		record(p, FLATIOMMU_EVENT_UNPIN);
	for (i = 0; i < p->nr_guards; i++)
		flat_guard_put(p->guards[i]);
	flat_pages_unpin(&p->pages, p->writable);
	flat_unaccount(p->mm, p->nr_accounted);
	mmdrop(p->mm);
	if (p->domain)
		flat_domain_put(p->domain);
	kfree(p);
}

void flat_pin_put(struct flat_pin *p)
{
	if (refcount_dec_and_test(&p->refs))
		destroy_pin(p, true);
}

/* Makes the domain hold the pin. Returns 0, or -ENOENT if the domain has ended. */
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

/*
 * The domain does not hold the pin any more. As at an unmap, no function may be using it. @keep: it
 * is kept as memory that was unmapped.
 */
static void let_go(struct flat_pin *p, bool keep)
{
	struct flat_domain *d = p->domain;
	bool held;

	spin_lock(&d->lock);
	held = !list_empty(&p->held);
	list_del_init(&p->held);
	/* A paused function is not started again: it may have the memory's bus addresses. */
	d->unmaps += held;
	if (held && keep)
		flat_hold_pin(&d->hold, p);
	spin_unlock(&d->lock);
	if (held && keep)
		flat_hold_limit_domain(d);
	else if (held)
		flat_pin_put(p);
}

/* Lets go of all pins of @d, which the core frees: no function is or will be attached to it. */
void flat_let_pins_go(struct flat_domain *d)
{
	struct flat_pin *p;

	spin_lock(&d->lock);
	d->ended = true;
	while ((p = list_first_entry_or_null(&d->pins, struct flat_pin, held))) {
		list_del_init(&p->held);
		spin_unlock(&d->lock);
		flat_pin_put(p);
		spin_lock(&d->lock);
	}
	spin_unlock(&d->lock);
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
	INIT_LIST_HEAD(&p->held);
	p->mm = current->mm;
	mmgrab(p->mm);
	p->vaddr = arg->vaddr;
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
	if (ret == -ERANGE || ret == -ENOMEM || ret == -ENODEV)
		uncount_pin(p, false);
	arg->nr_segments = lookup.nr_segments;
	arg->out_length = lookup.length;
	return ret;
}

/*
 * Ends a pin whose call fails. If a program may know of it, its functions are stopped, or the
 * domain holds it until the domain ends. This also happens to a program that is killed meanwhile.
 */
static void give_up(struct flat_pin *p)
{
	if (!p->domain) {
		destroy_pin(p, true);
		return;
	}
	if (!p->counted)
		let_go(p, false);
	flat_pin_put(p);
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
	if (ret)
		goto give_up;
	p->recorded = true;
	record(p, FLATIOMMU_EVENT_PIN);
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
 * has failed. Before this call the pin can be neither looked up nor unpinned, even with a guessed
 * number. The guards do not count it either, unless segments were written: so the end of a
 * function's last other pin stops the function.
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

/*
 * Ends a pin that has guards. A function that has other pins goes on, so the memory is held until
 * it is stopped. The end of a pin with FLATIOMMU_PIN_NO_STOP is the program's own business.
 */
static void end_pin_or_hold(struct flat_file *f, struct flat_pin *p)
{
	bool last;

	if (!p->stops) {
		flat_pin_put(p);
		return;
	}
	last = uncount_pin(p, true);
	flat_hold_pin(&f->hold, p);
	if (last)
		flat_hold_quiet_pins(&f->hold);
	flat_hold_limit_file(f);
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
	if (!p->domain && flat_holding()) {
		end_pin_or_hold(f, p);
		return 0;
	}
	if (p->domain)
		let_go(p, flat_holding() && flat_is_attached(p->domain));
	flat_pin_put(p);
	return 0;
}

static void close_guards(const struct flat_pin *p, const struct flat_closing *closing)
{
	unsigned int i;

	for (i = 0; p->stops && i < p->nr_guards; i++)
		flat_guard_close(p->guards[i], closing);
}

static void close_held(const struct flat_lot *lot, const struct flat_closing *closing)
{
	struct flat_held *item;

	list_for_each_entry(item, &lot->items, entry)
		close_guards(container_of(item, struct flat_pin, unpinned), closing);
}

/* Stops the functions of all pins of a lot, as the close of a file does. */
void flat_stop_pins(const struct flat_lot *lot)
{
	struct flat_closing closing;

	flat_guard_new_close(&closing);
	close_held(lot, &closing);
}

/* The file is closed. Its functions may still be using the memory, so they are stopped first. */
void flat_unpin_all(struct flat_file *f)
{
	struct flat_closing closing;
	struct flat_pin *p;
	struct flat_lot lot;
	unsigned long id;

	flat_guard_new_close(&closing);
	xa_for_each(&f->pins, id, p)
		close_guards(p, &closing);
	flat_hold_take(&f->hold, &lot);
	close_held(&lot, &closing);
	flat_lot_end(&lot, false);
	flat_hold_end(&f->hold);
	xa_for_each(&f->pins, id, p)
		if (refcount_dec_and_test(&p->refs))
			destroy_pin(p, false);
	xa_destroy(&f->pins);
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
	map = flat_map_of_pin(f, p, &arg->function);
	ret = map ? flat_tell_pin(p, map, arg) : -ENODEV;
	flat_pin_put(p);
	return ret;
}
