// SPDX-License-Identifier: GPL-2.0-only
/* The end of a pin: by UNPIN, with its file, or with its domain. The pages go now, or are held. */
#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>

#include <linux/flatiommu.h>

#include "attach.h"
#include "file.h"
#include "flatiommu.h"
#include "guard.h"
#include "history.h"
#include "hold.h"
#include "pin.h"

/* Records that the program has unpinned @p, and that it is held from now on. */
static void record_hold(struct flat_pin *p)
{
	flat_pin_record(p, FLATIOMMU_EVENT_UNPIN);
	flat_pin_record(p, FLATIOMMU_EVENT_HOLD);
	p->held = true;
}

/* Moves an unpinned pin into its domain's hold or, if the domain has ended, drops a reference. */
static void hold_or_put(struct flat_pin *p)
{
	struct flat_domain *d = p->domain;
	struct mm_struct *old = NULL;
	bool ended;

	record_hold(p);
	spin_lock(&d->lock);
	ended = d->ended;
	if (!ended)
		old = flat_hold_pin(&d->hold, p);
	spin_unlock(&d->lock);
	if (old)
		mmdrop(old);
	if (ended)
		flat_pin_put(p);
	else
		flat_hold_limit_domain(d);
}

/*
 * Ends the domain's reference to the pin. Without @hold, no function may be using the memory any
 * more, as at an unmap. With @hold, the pin is held if a function is attached to the domain.
 */
void flat_pin_let_go(struct flat_pin *p, bool hold)
{
	struct flat_domain *d = p->domain;
	bool found;

	spin_lock(&d->lock);
	found = !list_empty(&p->of_domain);
	list_del_init(&p->of_domain);
	/* A paused function is not started again: it may have the memory's bus addresses. */
	d->unmaps += found;
	spin_unlock(&d->lock);
	if (found && hold && flat_is_attached(d))
		hold_or_put(p);
	else if (found)
		flat_pin_put(p);
}

/* Lets all pins of @d go. The core frees @d: no function is attached to it, or will be. */
void flat_let_pins_go(struct flat_domain *d)
{
	struct flat_pin *p;

	spin_lock(&d->lock);
	d->ended = true;
	while ((p = list_first_entry_or_null(&d->pins, struct flat_pin, of_domain))) {
		list_del_init(&p->of_domain);
		spin_unlock(&d->lock);
		flat_pin_put(p);
		spin_lock(&d->lock);
	}
	spin_unlock(&d->lock);
}

/*
 * Ends a pin that has guards, with hold. A function that has other pins is not stopped now, so the
 * memory is held until it is. A pin with FLATIOMMU_PIN_NO_STOP is not held, because the program
 * stops the functions itself.
 */
static void end_pin_or_hold(struct flat_file *f, struct flat_pin *p)
{
	struct mm_struct *old;
	unsigned int i;
	bool held;

	if (!p->stops) {
		flat_pin_put(p);
		return;
	}
	record_hold(p);
	/* Hold the pin before it is uncounted: another thread may end the last pin meanwhile. */
	for (i = 0; i < p->nr_guards; i++)
		flat_guard_hold(p->guards[i]);
	refcount_inc(&p->refs);
	old = flat_hold_pin(&f->hold, p);
	held = flat_pin_uncount(p, true);
	flat_pin_put(p);
	if (old)
		mmdrop(old);
	if (held)
		flat_hold_quiet_pins();
	flat_hold_limit_file(f);
}

/* Is @p, a pin that has guards, to be held after its unpin? */
static bool holds(const struct flat_pin *p)
{
	bool holds = flat_chose_other(&flat_on_unmap);
	unsigned int i;

	for (i = 0; !holds && i < p->nr_guards; i++)
		holds = flat_claim_holds(p->guards[i]->pdev);
	return holds;
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
	if (!p->domain && holds(p)) {
		end_pin_or_hold(f, p);
		return 0;
	}
	if (p->domain)
		flat_pin_let_go(p, flat_domain_holds(p->domain));
	flat_pin_put(p);
	return 0;
}

static void close_guards(const struct flat_pin *p, const struct flat_closing *closing)
{
	unsigned int i;

	for (i = 0; p->stops && i < p->nr_guards; i++)
		flat_guard_close(p->guards[i], closing);
	cond_resched();
}

static void close_held(const struct flat_lot *lot, const struct flat_closing *closing)
{
	struct flat_held *item;

	list_for_each_entry(item, &lot->items, entry)
		close_guards(flat_pin_of(item), closing);
}

/* Stops the functions of all pins of a lot, as the close of a file does. */
void flat_stop_pins(const struct flat_lot *lot)
{
	struct flat_closing closing;

	flat_guard_new_close(&closing);
	close_held(lot, &closing);
}

/* Ends all pins of a file. The functions may still be using the memory, so stops them first. */
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
	/*
	 * Without stop, because the functions were stopped above. A function's last pin stops it
	 * again if another file holds a pin for it, or if a pin of another file has ended since: a
	 * program may have started the function meanwhile.
	 */
	xa_for_each(&f->pins, id, p)
		if (refcount_dec_and_test(&p->refs))
			flat_pin_destroy(p, false);
	xa_destroy(&f->pins);
}
