// SPDX-License-Identifier: GPL-2.0-only
/* The end of a hold: the program calls QUIET, or the functions were stopped. */
#include <linux/capability.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pfn.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>

#include <linux/flatiommu.h>

#include "attach.h"
#include "file.h"
#include "flatiommu.h"
#include "function.h"
#include "hold.h"
#include "pin.h"

/* Does the caller's QUIET apply to @hold? */
static bool is_callers(const struct flat_hold *hold)
{
	lockdep_assert_held(&flat_holds_lock);
	return hold->mm == current->mm && !hold->mixed;
}

/* Counts @steps in *@done. At every FLAT_HELD_AT_ONCE steps drops flat_holds_lock for a moment. */
static void breathe(unsigned int *done, unsigned int steps)
{
	*done += steps;
	if (*done < FLAT_HELD_AT_ONCE)
		return;
	*done = 0;
	spin_unlock(&flat_holds_lock);
	cond_resched();
	spin_lock(&flat_holds_lock);
}

/*
 * Moves @mark, which is in the list, behind the next hold, and returns that, or NULL at the end.
 * While the lock is dropped, holds may enter and leave the list: the mark keeps the place.
 */
static struct flat_hold *next_hold(struct flat_hold *mark, unsigned int *done)
{
	struct flat_hold *hold;

	do {
		breathe(done, 1);
		if (list_is_last(&mark->entry, &flat_holds))
			return NULL;
		hold = list_next_entry(mark, entry);
		list_move(&mark->entry, &hold->entry);
	} while (hold->is_mark);
	return hold;
}

/*
 * Moves pins from the hold of a file to @lot: pins whose functions are all among @pdevs or, with
 * @n == 0, pins whose functions have all been stopped since UNPIN. Leaves pins that are added
 * meanwhile: the call that adds one checks after that whether its functions are quiet.
 */
static void walk(struct flat_hold *hold, struct pci_dev **pdevs, unsigned int n,
		 struct flat_lot *lot, unsigned int *done)
{
	u64 left = PHYS_PFN(hold->bytes);	/* at least the number of items */
	struct flat_held *item;
	unsigned int steps;
	struct flat_pin *p;

	lockdep_assert_held(&flat_walk_lock);
	lockdep_assert_held(&flat_holds_lock);
	while (left-- &&
	       (item = list_first_entry_or_null(&hold->items, struct flat_held, entry))) {
		p = flat_pin_of(item);
		steps = max(n, 1U) * p->nr_guards;
		if (n ? flat_pin_is_for(p, pdevs, n) : flat_pin_is_quiet(p))
			flat_hold_move_pin_locked(hold, p, lot);
		else
			list_move_tail(&item->entry, &hold->walked);
		breathe(done, steps);
	}
	list_splice_init(&hold->walked, &hold->items);
}

/*
 * Gives back the pins that walk() selects: pins of the caller or, with @n == 0, of all programs.
 * Returns the number of bytes.
 */
static u64 end_pins(struct pci_dev **pdevs, unsigned int n)
{
	struct flat_hold mark = { .is_mark = true }, *hold;
	struct flat_lot lot;
	unsigned int done = 0;

	flat_lot_init(&lot, NULL);
	mutex_lock(&flat_walk_lock);
	spin_lock(&flat_holds_lock);
	list_add(&mark.entry, &flat_holds);
	while ((hold = next_hold(&mark, &done)))
		if (!hold->domain && (!n || is_callers(hold)))
			walk(hold, pdevs, n, &lot, &done);
	list_del(&mark.entry);
	spin_unlock(&flat_holds_lock);
	mutex_unlock(&flat_walk_lock);
	flat_lot_end(&lot, false);
	return lot.bytes;
}

/* Gives back pins that files hold, after a function was stopped at the end of its last pin. */
void flat_hold_quiet_pins(void)
{
	end_pins(NULL, 0);
}

/* Moves all items of the caller's next hold to @lot. Returns false if there is no such hold. */
static bool take_next(struct flat_hold *mark, struct flat_lot *lot, unsigned int *done)
{
	struct flat_hold *hold;

	spin_lock(&flat_holds_lock);
	while ((hold = next_hold(mark, done)))
		if (is_callers(hold))
			break;
	if (hold) {
		flat_hold_take_locked(hold, lot);
		/* The domain has not ended, because its hold was in the list. */
		if (lot->domain)
			refcount_inc(&lot->domain->refs);
	}
	spin_unlock(&flat_holds_lock);
	return hold;
}

/* QUIET for all functions of the caller. Returns how many bytes were held. */
static u64 quiet_all(void)
{
	struct flat_hold mark = { .is_mark = true };
	unsigned int done = 0;
	struct flat_lot lot;
	u64 bytes = 0;

	spin_lock(&flat_holds_lock);
	list_add(&mark.entry, &flat_holds);
	spin_unlock(&flat_holds_lock);
	while (!fatal_signal_pending(current) && take_next(&mark, &lot, &done)) {
		bytes += lot.bytes;
		flat_lot_end(&lot, false);
		if (lot.domain)
			flat_domain_put(lot.domain);
	}
	spin_lock(&flat_holds_lock);
	list_del(&mark.entry);
	spin_unlock(&flat_holds_lock);
	return bytes;
}

/* As quiet_all(), for one domain. All functions of the domain are quiet. */
static u64 quiet_domain(struct flat_domain *d)
{
	struct flat_lot lot;

	flat_lot_init(&lot, d);
	spin_lock(&flat_holds_lock);
	if (is_callers(&d->hold))
		flat_hold_take_locked(&d->hold, &lot);
	spin_unlock(&flat_holds_lock);
	flat_lot_end(&lot, false);
	return lot.bytes;
}

/* FLATIOMMU_QUIET */
int flat_quiet(struct flat_file *f, struct flatiommu_quiet *arg)
{
	struct pci_dev *pdevs[FLATIOMMU_MAX_FUNCTIONS];
	unsigned int i, n = arg->nr_functions;
	struct flat_domain *d;
	int ret;

	if (f->mm != current->mm || !capable(CAP_SYS_RAWIO))
		return -EPERM;
	if (!n) {
		arg->out_length = quiet_all();
		return 0;
	}
	ret = flat_get_functions(arg->functions, n, pdevs);
	if (ret)
		return ret;
	arg->out_length = end_pins(pdevs, n);
	for (i = 0; i < n; i++) {
		d = flat_domain_of_only(pdevs[i], pdevs, n);
		if (!d)
			continue;
		arg->out_length += quiet_domain(d);
		flat_domain_put(d);
	}
	flat_put_functions(pdevs, n);
	return 0;
}
