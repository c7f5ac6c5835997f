// SPDX-License-Identifier: GPL-2.0-only
/*
 * on_unmap=hold: memory that a program has unmapped or unpinned is held until the functions cannot
 * be writing to it any more. So a driver that unmaps too early damages only its own program.
 *
 * A domain holds the extents that were unmapped in it, and pins that it had. A file holds the other
 * pins. The module gets a reference to each folio of an extent. VFIO unpins the folio only after
 * that, so it cannot have been freed. A folio with a reference is neither freed, split nor moved. A
 * pin is held as it is.
 *
 * The memory is given back
 * - at the end of the domain or the file,
 * - if a file holds it: when its functions were stopped at the end of their last pins,
 * - when the program calls QUIET,
 * - at the limit.
 *
 * The limit counts the bytes that were unmapped, even if a huge page is held as a whole because of
 * a part of it. To count the whole page once, each unmap would have to find out whether another
 * part is held. That needs an index, which needs memory, and an unmap must not fail. To count the
 * whole page for each part would give memory back early. Until it is given back, the program's
 * memory cgroup is charged for the whole page. A pin of a dma-buf keeps all of the dma-buf, so all
 * of that is counted.
 */
#include <linux/capability.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pfn.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/spinlock.h>
#include <linux/sysfs.h>

#include <linux/flatiommu.h>

#include "account.h"
#include "attach.h"
#include "choice.h"
#include "dmabuf.h"
#include "extent.h"
#include "file.h"
#include "flatiommu.h"
#include "folios.h"
#include "function.h"
#include "history.h"
#include "hold.h"
#include "pin.h"
#include "refusal.h"

static struct flat_choice on_hold_full = { { "oldest", "fence" } };
/* At least two huge pages, which may have 512 MiB on arm64. */
static unsigned long hold_limit = 2 * PMD_SIZE > 256UL << 20 ? 2 * PMD_SIZE : 256UL << 20;

/*
 * flat_holds_lock protects each struct flat_hold and the variables below. Only flat_history.lock
 * may be taken while holding it. A walk through the holds of files (quiet.c) drops it now and then.
 * The walk also takes flat_walk_lock. So does the end of a file's hold.
 */
DEFINE_SPINLOCK(flat_holds_lock);
DEFINE_MUTEX(flat_walk_lock);	/* see above */
/* Holds that have items. So a program cannot make walks long without memory that is held. */
LIST_HEAD(flat_holds);
static u64 held_bytes;
static u64 released_at_limit;

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
MODULE_PARM_DESC(hold_limit, "bytes that on_unmap=hold holds of each I/O address space, and of the pins of each open file, with K, M or G; the default is 256M, or two huge pages if that is more");

module_param_cb(on_hold_full, &flat_choice_ops, &on_hold_full, 0644);
MODULE_PARM_DESC(on_hold_full, "at hold_limit: give the oldest memory back (the default), or fence, which clears bus mastering of the functions and gives all of it back");

static void put_extent(struct flat_extent *e)
{
	flat_put_folios(e);
	flat_extent_free(e);
}

/* Are the item's pages accounted with the hold? If not, the pin accounts them, or nothing does. */
static bool is_accounted_here(struct flat_held *item)
{
	return !item->is_pin || (!flat_pin_of(item)->nr_accounted && !flat_pin_of(item)->dmabuf);
}

/* Returns the number of pages of @item. A pin of a dma-buf counts with all of the dma-buf. */
static unsigned long pages_of(struct flat_held *item)
{
	const struct flat_extent *e;

	if (item->is_pin)
		return flat_pin_of(item)->dmabuf ? flat_dmabuf_pages(flat_pin_of(item)->dmabuf) :
						   flat_pin_of(item)->pages.n;
	e = container_of(item, struct flat_extent, held);
	return PHYS_PFN(e->last - e->iova + 1);
}

/* @domain: NULL for a file. The caller has zeroed @hold. */
void flat_hold_init(struct flat_hold *hold, struct flat_domain *domain)
{
	INIT_LIST_HEAD(&hold->items);
	INIT_LIST_HEAD(&hold->walked);
	INIT_LIST_HEAD(&hold->entry);
	hold->domain = domain;
}

static bool is_empty(const struct flat_hold *hold)
{
	return list_empty(&hold->items) && list_empty(&hold->walked);
}

static struct flat_held *oldest(struct flat_hold *hold)
{
	struct list_head *items = list_empty(&hold->walked) ? &hold->items : &hold->walked;

	return list_first_entry(items, struct flat_held, entry);
}

static void change_bytes(struct flat_hold *hold, s64 by)
{
	lockdep_assert_held(&flat_holds_lock);
	hold->bytes += by;
	held_bytes += by;
}

/* Adds an unmapped or unpinned item. Returns an address space to be dropped, or NULL. */
static struct mm_struct *add(struct flat_hold *hold, struct flat_held *item, bool is_pin)
{
	struct mm_struct *old = NULL;
	unsigned long pages;

	lockdep_assert_held(&flat_holds_lock);
	item->is_pin = is_pin;
	pages = pages_of(item);
	if (hold->mm != current->mm) {
		/*
		 * hold->mm does not change while the hold has items, or while pages of its
		 * former items are accounted, until account(). A kernel thread has no mm.
		 */
		if (hold->accounted || !is_empty(hold) || !current->mm) {
			hold->mixed = true;
		} else {
			old = hold->mm;
			hold->mm = current->mm;
			mmgrab(hold->mm);
		}
	}
	list_add_tail(&item->entry, &hold->items);
	if (list_empty(&hold->entry))
		list_add(&hold->entry, &flat_holds);
	change_bytes(hold, PFN_PHYS(pages));
	if (!is_pin) {
		hold->pages += pages;
	} else if (flat_pin_of(item)->mm == hold->mm && !flat_pin_of(item)->dmabuf) {
		/* The pin has accounted the pages already. */
		flat_pin_of(item)->nr_accounted = 0;
		hold->pages += pages;
		hold->accounted += pages;
	}
	return old;
}

/* Removes a hold that has become empty from the list. */
static void is_over(struct flat_hold *hold)
{
	list_del_init(&hold->entry);
	/* No item of another program is left: QUIET works for what is unmapped from now on. */
	hold->mixed = false;
}

static void move(struct flat_hold *hold, struct flat_held *item, struct flat_lot *lot)
{
	unsigned long pages = pages_of(item);

	lockdep_assert_held(&flat_holds_lock);
	list_move_tail(&item->entry, &lot->items);
	lot->bytes += PFN_PHYS(pages);
	change_bytes(hold, -PFN_PHYS(pages));
	if (is_accounted_here(item))
		hold->pages -= pages;
	if (is_empty(hold))
		is_over(hold);
}

/* As move(), for a pin. From now on the pin accounts its pages again. */
void flat_hold_move_pin_locked(struct flat_hold *hold, struct flat_pin *p, struct flat_lot *lot)
{
	lockdep_assert_held(&flat_holds_lock);
	if (is_accounted_here(&p->unpinned)) {
		p->nr_accounted = p->pages.n;
		hold->pages -= p->pages.n;
		hold->accounted -= p->pages.n;
	}
	move(hold, &p->unpinned, lot);
}

/* Returns the hold's address space with a reference if account() has to change its count. */
static struct mm_struct *to_account(struct flat_hold *hold)
{
	struct mm_struct *mm = NULL;

	spin_lock(&flat_holds_lock);
	if (hold->mm && hold->pages != hold->accounted) {
		if (mmget_not_zero(hold->mm))
			mm = hold->mm;
		else
			/* The address space has ended: its count does not matter any more. */
			hold->accounted = hold->pages;
	}
	spin_unlock(&flat_holds_lock);
	return mm;
}

/*
 * Accounts the pages that are held to their program. If the program's address space is locked at
 * this moment, leaves that to the next call: the caller of an unmap may have locked it.
 */
static void account(struct flat_hold *hold)
{
	struct mm_struct *mm = to_account(hold);
	unsigned long more = 0, less = 0;

	if (!mm)
		return;
	if (!flat_try_lock_mm(mm))
		goto put;
	spin_lock(&flat_holds_lock);
	if (hold->mm == mm) {
		if (hold->pages > hold->accounted)
			more = hold->pages - hold->accounted;
		else
			less = hold->accounted - hold->pages;
		hold->accounted = hold->pages;
	}
	spin_unlock(&flat_holds_lock);
	/* Ignore RLIMIT_MEMLOCK, because an unmap must not fail. The next map or pin may. */
	if (more || less)
		__account_locked_vm(mm, more + less, more, current, true);
	flat_unlock_mm(mm);
put:
	/* The end of an address space may need locks of VFIO, which are held. */
	mmput_async(mm);
}

static void drop(struct mm_struct *mm)
{
	if (mm)
		mmdrop(mm);
}

/* Records an event for the memory of @e in the histories of @d. */
static void record(struct flat_domain *d, u32 type, const struct flat_extent *e)
{
	if (list_empty_careful(&d->histories))
		return;
	spin_lock(&d->lock);
	flat_record(&d->histories, type, e->iova, e->phys, e->last - e->iova + 1);
	spin_unlock(&d->lock);
}

/**
 * flat_hold_extents() - hold memory that is being unmapped
 * @d:		the domain
 * @gone:	a list of erased extents, whose memory VFIO unpins when the unmap is over
 *
 * The caller calls flat_hold_limit_domain() after that.
 */
void flat_hold_extents(struct flat_domain *d, struct flat_extent *gone)
{
	struct flat_extent *next;
	struct mm_struct *old;

	for (; gone; gone = next) {
		next = gone->next;
		if (!flat_get_folios(gone)) {
			flat_extent_free(gone);
			continue;
		}
		/* Record this first: once memory is in the hold, another task may release it. */
		record(d, FLATIOMMU_EVENT_HOLD, gone);
		spin_lock(&flat_holds_lock);
		old = add(&d->hold, &gone->held, false);
		spin_unlock(&flat_holds_lock);
		drop(old);
	}
}

/*
 * Holds @p, and so the caller's reference to it. A domain's lock may be held. Returns an address
 * space to be dropped without a lock, or NULL.
 */
struct mm_struct *flat_hold_pin(struct flat_hold *hold, struct flat_pin *p)
{
	struct mm_struct *old;

	spin_lock(&flat_holds_lock);
	old = add(hold, &p->unpinned, true);
	spin_unlock(&flat_holds_lock);
	return old;
}

void flat_lot_init(struct flat_lot *lot, struct flat_domain *domain)
{
	*lot = (struct flat_lot){ .domain = domain };
	INIT_LIST_HEAD(&lot->items);
}

static void end_item(struct flat_held *item, struct flat_domain *domain, bool at_limit)
{
	struct flat_extent *e;

	if (item->is_pin) {
		if (domain && at_limit)
			flat_pin_put_in_unmap(flat_pin_of(item));
		else
			flat_pin_put(flat_pin_of(item));
		return;
	}
	e = container_of(item, struct flat_extent, held);
	record(domain, FLATIOMMU_EVENT_RELEASE, e);
	put_extent(e);
}

/*
 * Gives the memory of @lot back. @at_limit: only because of the limit. Caller holds no lock of the
 * module.
 */
void flat_lot_end(struct flat_lot *lot, bool at_limit)
{
	struct flat_held *item, *next;

	if (at_limit) {
		spin_lock(&flat_holds_lock);
		released_at_limit += lot->bytes;
		spin_unlock(&flat_holds_lock);
	}
	list_for_each_entry_safe(item, next, &lot->items, entry)
		end_item(item, lot->domain, at_limit);
	if (!lot->mm)
		return;
	flat_unaccount(lot->mm, lot->accounted);
	mmdrop(lot->mm);
}

/* Gives the oldest memory back, until at most @limit bytes are held. */
static void trim(struct flat_hold *hold, u64 limit)
{
	struct flat_lot lot;
	unsigned int n;

	do {
		flat_lot_init(&lot, hold->domain);
		spin_lock(&flat_holds_lock);
		for (n = 0; n < FLAT_HELD_AT_ONCE && hold->bytes > limit; n++)
			move(hold, oldest(hold), &lot);
		spin_unlock(&flat_holds_lock);
		flat_lot_end(&lot, true);
	} while (n == FLAT_HELD_AT_ONCE);
}

/* Is more held than the limit allows? If so, logs it. */
static bool is_full(struct flat_hold *hold, bool fence)
{
	bool full;

	spin_lock(&flat_holds_lock);
	full = hold->bytes > READ_ONCE(hold_limit);
	spin_unlock(&flat_holds_lock);
	if (full)
		pr_warn_ratelimited("%s[%d] has unmapped more than hold_limit= without FLATIOMMU_QUIET: %s\n",
				    current->comm, task_tgid_nr(current),
				    fence ? "bus mastering of its functions is cleared" :
					    "the oldest memory is given back, and its functions may still write to it");
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

/* Applies the limit, after a pin of @f was added. No lock of the module is held. */
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

void flat_hold_take_locked(struct flat_hold *hold, struct flat_lot *lot)
{
	lockdep_assert_held(&flat_holds_lock);
	flat_lot_init(lot, hold->domain);
	list_splice_init(&hold->items, &lot->items);
	list_splice_init(&hold->walked, &lot->items);
	lot->bytes = hold->bytes;
	change_bytes(hold, -hold->bytes);
	swap(lot->mm, hold->mm);
	swap(lot->accounted, hold->accounted);
	hold->pages = 0;
	is_over(hold);
}

/* Moves all that is held to @lot, for flat_lot_end(). */
void flat_hold_take(struct flat_hold *hold, struct flat_lot *lot)
{
	spin_lock(&flat_holds_lock);
	flat_hold_take_locked(hold, lot);
	spin_unlock(&flat_holds_lock);
}

/* The domain or the file ends: nothing is added any more. */
void flat_hold_end(struct flat_hold *hold)
{
	bool is_file = !hold->domain;
	struct flat_lot lot;

	if (is_file)
		mutex_lock(&flat_walk_lock);
	flat_hold_take(hold, &lot);
	if (is_file)
		mutex_unlock(&flat_walk_lock);
	flat_lot_end(&lot, false);
}

/**
 * flat_held_show() - bytes that are held, of all programs
 * @buf:	a page
 */
ssize_t flat_held_show(char *buf)
{
	u64 bytes;

	spin_lock(&flat_holds_lock);
	bytes = held_bytes;
	spin_unlock(&flat_holds_lock);
	return sysfs_emit(buf, "%llu\n", bytes);
}

/**
 * flat_held_released_show() - bytes that were given back at the limit since the module was loaded
 * @buf:	a page
 */
ssize_t flat_held_released_show(char *buf)
{
	u64 bytes;

	spin_lock(&flat_holds_lock);
	bytes = released_at_limit;
	spin_unlock(&flat_holds_lock);
	return sysfs_emit(buf, "%llu\n", bytes);
}

/* No domain and no file is left. */
void flat_hold_exit(void)
{
	WARN_ON_ONCE(!list_empty(&flat_holds) || held_bytes);
}
