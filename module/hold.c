// SPDX-License-Identifier: GPL-2.0-only
/*
 * on_unmap=hold: memory that a program has unmapped or unpinned is held until the functions cannot
 * be writing to it any more. So if a driver unmaps too early, its own program has the damage, and
 * no other one.
 *
 * A domain holds the extents that were unmapped in it, and pins that it had; a file holds the other
 * pins. The module gets a reference to each folio of an extent. VFIO unpins the folio only after
 * that, so it cannot have been freed, and a folio with a reference is neither freed, split nor
 * moved. A pin is held as it is.
 *
 * It is given back at the end of the domain or the file, when the last other pin of its functions
 * has ended, when the program says QUIET, or at the limit.
 */
#include <linux/capability.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pfn.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/spinlock.h>
#include <linux/sysfs.h>

#include <linux/flatiommu.h>

#include "account.h"
#include "choice.h"
#include "extent.h"
#include "file.h"
#include "flatiommu.h"
#include "folios.h"
#include "hold.h"
#include "pin.h"
#include "refusal.h"

struct flat_choice flat_on_unmap = { { "free", "hold" } };
static struct flat_choice on_hold_full = { { "oldest", "fence" } };
static unsigned long hold_limit = 256UL << 20;

/* The innermost lock but flat_history.lock. It protects each struct flat_hold, and these. */
static DEFINE_SPINLOCK(holds_lock);
static LIST_HEAD(holds);
static u64 held_bytes;
static u64 released_at_limit;

module_param_cb(on_unmap, &flat_choice_ops, &flat_on_unmap, 0644);
MODULE_PARM_DESC(on_unmap, "what happens to memory that a program unmaps or unpins: free (the default), or hold, until its devices cannot be writing to it any more");

static int hold_limit_set(const char *val, const struct kernel_param *kp)
{
	unsigned long long limit;
	char *end;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	limit = memparse(val, &end);
	if (end == val || !sysfs_streq(end, "") || limit > ULONG_MAX)
		return -EINVAL;
	WRITE_ONCE(hold_limit, limit);
	return 0;
}

static int hold_limit_get(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%lu\n", READ_ONCE(hold_limit));
}

static const struct kernel_param_ops hold_limit_ops = {
	.set = hold_limit_set,
	.get = hold_limit_get,
};

module_param_cb(hold_limit, &hold_limit_ops, NULL, 0644);
MODULE_PARM_DESC(hold_limit, "bytes that on_unmap=hold holds of each address space, with K, M or G; the default is 256M");

module_param_cb(on_hold_full, &flat_choice_ops, &on_hold_full, 0644);
MODULE_PARM_DESC(on_hold_full, "at hold_limit: give the oldest memory back (the default), or fence, which clears bus mastering of the devices and gives all of it back");

static void put_extent(struct flat_extent *e)
{
	flat_put_folios(e);
	flat_extent_free(e);
}

static struct flat_pin *pin_of(struct flat_held *item)
{
	return container_of(item, struct flat_pin, unpinned);
}

static unsigned long pages_of(struct flat_held *item)
{
	const struct flat_extent *e;

	if (item->is_pin)
		return pin_of(item)->pages.n;
	e = container_of(item, struct flat_extent, held);
	return PHYS_PFN(e->last - e->iova + 1);
}

void flat_hold_init(struct flat_hold *hold)
{
	INIT_LIST_HEAD(&hold->items);
	spin_lock(&holds_lock);
	list_add(&hold->entry, &holds);
	spin_unlock(&holds_lock);
}

static void add(struct flat_hold *hold, struct flat_held *item, bool is_pin)
{
	unsigned long pages;

	lockdep_assert_held(&holds_lock);
	item->is_pin = is_pin;
	pages = pages_of(item);
	if (!hold->mm && list_empty(&hold->items) && current->mm) {
		hold->mm = current->mm;
		mmgrab(hold->mm);
	} else if (hold->mm != current->mm) {
		hold->mixed = true;
	}
	list_add_tail(&item->entry, &hold->items);
	hold->bytes += PFN_PHYS(pages);
	held_bytes += PFN_PHYS(pages);
	if (!is_pin) {
		hold->pages += pages;
	} else if (pin_of(item)->mm == hold->mm) {
		/* It is accounted already. */
		pin_of(item)->nr_accounted = 0;
		hold->pages += pages;
		hold->accounted += pages;
	}
}

static void move(struct flat_hold *hold, struct flat_held *item, struct flat_lot *lot)
{
	unsigned long pages = pages_of(item);

	lockdep_assert_held(&holds_lock);
	list_move_tail(&item->entry, &lot->items);
	lot->bytes += PFN_PHYS(pages);
	hold->bytes -= PFN_PHYS(pages);
	held_bytes -= PFN_PHYS(pages);
	if (!item->is_pin || !pin_of(item)->nr_accounted)
		hold->pages -= pages;
}

/*
 * Accounts what is held to the caller, if its address space is not locked at this moment: the
 * caller of an unmap may have locked it. If it is, the next call does so.
 */
static void account(struct flat_hold *hold)
{
	struct mm_struct *mm = current->mm;
	unsigned long more = 0, less = 0;

	/* mmap_write_trylock(), which newer kernels do not have. No mapping changes under it. */
	if (!mm || !down_write_trylock(&mm->mmap_lock))
		return;
	spin_lock(&holds_lock);
	if (hold->mm == mm) {
		if (hold->pages > hold->accounted)
			more = hold->pages - hold->accounted;
		else
			less = hold->accounted - hold->pages;
		hold->accounted = hold->pages;
	}
	spin_unlock(&holds_lock);
	/* Above RLIMIT_MEMLOCK, too, as an unmap must not fail. The next map or pin may. */
	if (more || less)
		__account_locked_vm(mm, more + less, more, current, true);
	up_write(&mm->mmap_lock);
}

/**
 * flat_hold_extents() - hold memory that is being unmapped
 * @hold:	the domain's
 * @gone:	a list of erased extents, whose memory VFIO unpins when the unmap is over
 *
 * The caller calls flat_hold_limit_domain() after that.
 */
void flat_hold_extents(struct flat_hold *hold, struct flat_extent *gone)
{
	struct flat_extent *next;

	for (; gone; gone = next) {
		next = gone->next;
		if (!flat_get_folios(gone)) {
			flat_extent_free(gone);
			continue;
		}
		spin_lock(&holds_lock);
		add(hold, &gone->held, false);
		spin_unlock(&holds_lock);
	}
}

/* Holds @p, and so the caller's reference to it. A domain's lock may be held. */
void flat_hold_pin(struct flat_hold *hold, struct flat_pin *p)
{
	spin_lock(&holds_lock);
	add(hold, &p->unpinned, true);
	spin_unlock(&holds_lock);
}

static void lot_init(struct flat_lot *lot)
{
	*lot = (struct flat_lot){ };
	INIT_LIST_HEAD(&lot->items);
}

/* Gives memory back. @at_limit: only because of the limit. No lock of the module's is held. */
void flat_lot_end(struct flat_lot *lot, bool at_limit)
{
	struct flat_held *item, *next;

	if (at_limit) {
		spin_lock(&holds_lock);
		released_at_limit += lot->bytes;
		spin_unlock(&holds_lock);
	}
	list_for_each_entry_safe(item, next, &lot->items, entry) {
		if (item->is_pin)
			flat_pin_put(pin_of(item));
		else
			put_extent(container_of(item, struct flat_extent, held));
	}
	if (!lot->mm)
		return;
	flat_unaccount(lot->mm, lot->accounted);
	mmdrop(lot->mm);
}

/* Items to move in one critical section. */
#define MOVE_AT_ONCE 256

/* Gives the oldest memory back, until no more than @limit bytes are held. */
static void trim(struct flat_hold *hold, u64 limit)
{
	struct flat_lot lot;
	unsigned int n;

	do {
		lot_init(&lot);
		spin_lock(&holds_lock);
		for (n = 0; n < MOVE_AT_ONCE && hold->bytes > limit; n++)
			move(hold, list_first_entry(&hold->items, struct flat_held, entry), &lot);
		spin_unlock(&holds_lock);
		flat_lot_end(&lot, true);
	} while (n == MOVE_AT_ONCE);
}

/* Is more held than the limit allows? Logs it. */
static bool is_full(struct flat_hold *hold, bool fence)
{
	bool full;

	spin_lock(&holds_lock);
	full = hold->bytes > READ_ONCE(hold_limit);
	spin_unlock(&holds_lock);
	if (full)
		pr_warn_ratelimited("%s[%d] has unmapped more than hold_limit= without FLATIOMMU_QUIET: %s\n",
				    current->comm, task_tgid_nr(current),
				    fence ? "bus mastering of its devices is cleared" :
					    "the oldest memory is given back, and its devices may still write to it");
	return full;
}

/* Applies the limit, after something was added. Locks of VFIO or iommufd may be held. */
void flat_hold_limit_domain(struct flat_domain *d)
{
	bool fence = flat_chose_other(&on_hold_full);

	if (is_full(&d->hold, fence)) {
		if (fence)
			flat_fence_and_wait(d);
		trim(&d->hold, fence ? 0 : READ_ONCE(hold_limit));
	}
	account(&d->hold);
}

/* Applies the limit, after a pin of @f was added. No lock of the module's is held. */
void flat_hold_limit_file(struct flat_file *f)
{
	bool fence = flat_chose_other(&on_hold_full);
	struct flat_lot lot;

	if (!is_full(&f->hold, fence))
		return;
	if (fence) {
		flat_hold_take(&f->hold, &lot);
		flat_stop_pins(&lot);
		flat_lot_end(&lot, true);
	} else {
		trim(&f->hold, READ_ONCE(hold_limit));
		account(&f->hold);
	}
}

static void take(struct flat_hold *hold, struct flat_lot *lot)
{
	lockdep_assert_held(&holds_lock);
	lot_init(lot);
	list_splice_init(&hold->items, &lot->items);
	swap(lot->bytes, hold->bytes);
	swap(lot->mm, hold->mm);
	swap(lot->accounted, hold->accounted);
	hold->pages = 0;
	hold->mixed = false;
	held_bytes -= lot->bytes;
}

/* Takes all that is held, for flat_lot_end(). */
void flat_hold_take(struct flat_hold *hold, struct flat_lot *lot)
{
	spin_lock(&holds_lock);
	take(hold, lot);
	spin_unlock(&holds_lock);
}

/* Gives back pins of a file whose functions have all been stopped since they were unpinned. */
void flat_hold_quiet_pins(struct flat_hold *hold)
{
	struct flat_held *item, *next;
	struct flat_lot lot;

	lot_init(&lot);
	spin_lock(&holds_lock);
	list_for_each_entry_safe(item, next, &hold->items, entry)
		if (flat_pin_is_quiet(pin_of(item)))
			move(hold, item, &lot);
	spin_unlock(&holds_lock);
	flat_lot_end(&lot, false);
	account(hold);
}

/* The domain or the file ends: nothing is added any more. */
void flat_hold_end(struct flat_hold *hold)
{
	struct flat_lot lot;

	spin_lock(&holds_lock);
	list_del_init(&hold->entry);
	take(hold, &lot);
	spin_unlock(&holds_lock);
	flat_lot_end(&lot, false);
}

/* FLATIOMMU_QUIET */
int flat_quiet(struct flat_file *f, struct flatiommu_quiet *arg)
{
	struct flat_lot all, lot;
	struct flat_hold *hold;

	if (f->mm != current->mm || !capable(CAP_SYS_RAWIO))
		return -EPERM;
	lot_init(&all);
	spin_lock(&holds_lock);
	list_for_each_entry(hold, &holds, entry) {
		if (hold->mm != current->mm || hold->mixed)
			continue;
		take(hold, &lot);
		list_splice_tail(&lot.items, &all.items);
		all.bytes += lot.bytes;
		all.accounted += lot.accounted;
		if (all.mm)
			/* Not the last reference: the caller runs. */
			mmdrop(lot.mm);
		all.mm = lot.mm;
	}
	spin_unlock(&holds_lock);
	flat_lot_end(&all, false);
	arg->out_length = all.bytes;
	return 0;
}

/**
 * flat_held_show() - bytes that are held, of all programs
 * @buf:	of a page
 */
ssize_t flat_held_show(char *buf)
{
	u64 bytes;

	spin_lock(&holds_lock);
	bytes = held_bytes;
	spin_unlock(&holds_lock);
	return sysfs_emit(buf, "%llu\n", bytes);
}

/**
 * flat_held_released_show() - bytes that were given back at the limit since the module was loaded
 * @buf:	of a page
 */
ssize_t flat_held_released_show(char *buf)
{
	u64 bytes;

	spin_lock(&holds_lock);
	bytes = released_at_limit;
	spin_unlock(&holds_lock);
	return sysfs_emit(buf, "%llu\n", bytes);
}

/* No domain and no file is left. */
void flat_hold_exit(void)
{
	WARN_ON_ONCE(!list_empty(&holds) || held_bytes);
}
