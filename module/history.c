// SPDX-License-Identifier: GPL-2.0-only
/*
 * The latest events of each claimed function: maps, unmaps, pins and stops, with their process.
 * They are kept until the claim ends, also when the program has died.
 */
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>

#include <linux/flatiommu.h>

#include "file.h"
#include "flatiommu.h"
#include "function.h"
#include "history.h"
#include "pages.h"

/* 64 MiB for one function. */
#define MAX_EVENTS BIT(20)

static unsigned int nr_events;

/* Number of histories. While it is 0, a pin does not search for one. */
static atomic_t nr_histories = ATOMIC_INIT(0);

static int history_set(const char *val, const struct kernel_param *kp)
{
	unsigned int n;
	int ret;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	ret = kstrtouint(val, 0, &n);
	if (ret)
		return ret;
	if (n > MAX_EVENTS)
		return -EINVAL;
	WRITE_ONCE(nr_events, n);
	return 0;
}

static const struct kernel_param_ops history_ops = {
	.set = history_set,
	.get = param_get_uint,
};

module_param_cb(history, &history_ops, &nr_events, 0644);
MODULE_PARM_DESC(history, "number of events to keep of each function that is claimed from now on, up to 1048576; 0: none");

/*
 * Makes the history of a function that is being claimed. Returns it, NULL if history= is 0, or
 * -ENOMEM as an error pointer.
 */
struct flat_history *flat_history_new(struct pci_dev *pdev)
{
	unsigned int n = READ_ONCE(nr_events);
	struct flat_history *h;

	if (!n)
		return NULL;
	h = kvmalloc(struct_size(h, events, n), GFP_KERNEL);
	if (!h)
		return ERR_PTR(-ENOMEM);
	atomic_inc(&nr_histories);
	refcount_set(&h->refs, 1);
	INIT_LIST_HEAD(&h->of_domain);
	h->domain = NULL;
	h->function = (struct flatiommu_function){
		.segment = pci_domain_nr(pdev->bus),
		.bus = pdev->bus->number,
		.devfn = pdev->devfn,
	};
	h->size = n;
	spin_lock_init(&h->lock);
	h->next = 0;
	h->at = 0;
	return h;
}

/* Drops a reference to @history, which may be NULL. */
void flat_history_put(struct flat_history *history)
{
	if (!history || !refcount_dec_and_test(&history->refs))
		return;
	atomic_dec(&nr_histories);
	kvfree(history);
}

/*
 * Removes @history from its domain's list: the function joins another domain, the claim ends, or
 * the domain is freed. Caller holds flat_attach_lock.
 */
void flat_history_leave(struct flat_history *history)
{
	struct flat_domain *d = history->domain;

	lockdep_assert_held(&flat_attach_lock);
	if (!d)
		return;
	spin_lock(&d->lock);
	list_del_init(&history->of_domain);
	spin_unlock(&d->lock);
	history->domain = NULL;
}

/* The function is attached to @d: @history gets the events of @d. Caller holds flat_attach_lock. */
void flat_history_join(struct flat_history *history, struct flat_domain *d)
{
	lockdep_assert_held(&flat_attach_lock);
	if (history->domain == d)
		return;
	flat_history_leave(history);
	spin_lock(&d->lock);
	list_add_tail(&history->of_domain, &d->histories);
	spin_unlock(&d->lock);
	history->domain = d;
}

static_assert(sizeof_field(struct flatiommu_event, process) <= TASK_COMM_LEN);

/* Fills @e in, with the current process and time. Inline, because each map records an event. */
static __always_inline void new_event(struct flatiommu_event *e, u32 type, u64 at, u64 address,
				      u64 length)
{
	e->type = type;
	e->pid = task_tgid_nr(current);
	e->time = ktime_get_boottime_ns();
	e->at = at;
	e->address = address;
	e->length = length;
	memcpy(e->process, current->group_leader->comm, sizeof(e->process));
	/* The program may be changing its name. */
	e->process[sizeof(e->process) - 1] = 0;
}

static __always_inline void add_locked(struct flat_history *h, struct flatiommu_event *e)
{
	lockdep_assert_held(&h->lock);
	e->function = h->function;
	h->events[h->at] = *e;
	if (++h->at == h->size)
		h->at = 0;
	h->next++;
}

static __always_inline void add(struct flat_history *h, struct flatiommu_event *e)
{
	spin_lock(&h->lock);
	add_locked(h, e);
	spin_unlock(&h->lock);
}

/* Records an event of one function, without addresses. @history may be NULL. */
void flat_record_event(struct flat_history *history, u32 type)
{
	struct flatiommu_event e;

	if (!history)
		return;
	new_event(&e, type, 0, 0, 0);
	add(history, &e);
}

/* The slow path of flat_record(): @histories is not empty. */
void flat_record_in_all(struct list_head *histories, u32 type, u64 at, u64 address, u64 length)
{
	struct flatiommu_event e;
	struct flat_history *h;

	new_event(&e, type, at, address, length);
	list_for_each_entry(h, histories, of_domain)
		add(h, &e);
}

/* Maximum number of runs to record in one critical section. */
#define RUNS_AT_ONCE 64

/*
 * Records an event for each of @n runs, from run @i on. @e->at is the address of the first page of
 * all runs. Does nothing if more than h->size runs follow: their events would overwrite these. If
 * exactly h->size runs follow, these runs are recorded, too, so that the reader sees that events
 * are lost.
 */
static void add_runs(struct flat_history *h, const struct flatiommu_event *e,
		     const struct flat_pages *pages, unsigned long i, unsigned long n)
{
	struct flatiommu_event run = *e;

	if (pages->nr_runs - (i + n) > h->size)
		return;
	spin_lock(&h->lock);
	for (n += i; i < n; i++) {
		run.at = e->at + PFN_PHYS(pages->runs[i].first);
		run.address = PFN_PHYS(pages->runs[i].pfn);
		run.length = PFN_PHYS(flat_pages_end(pages, i) - pages->runs[i].first);
		add_locked(h, &run);
	}
	spin_unlock(&h->lock);
}

/**
 * flat_record_pages() - record an event for each run of pages of a pin that belongs to a domain
 * @d:		the domain; no lock is held
 * @type:	type of the events
 * @vaddr:	address of the first page in the program
 * @pages:	the pages
 */
void flat_record_pages(struct flat_domain *d, u32 type, u64 vaddr, const struct flat_pages *pages)
{
	struct flatiommu_event e;
	struct flat_history *h;
	unsigned long i, n;

	if (list_empty_careful(&d->histories))
		return;
	new_event(&e, type, vaddr, 0, 0);
	for (i = 0; i < pages->nr_runs; i += n) {
		n = min(pages->nr_runs - i, (unsigned long)RUNS_AT_ONCE);
		spin_lock(&d->lock);
		list_for_each_entry(h, &d->histories, of_domain)
			add_runs(h, &e, pages, i, n);
		spin_unlock(&d->lock);
		cond_resched();
	}
}

/* As flat_record_pages(), for one function. Does nothing if the function has no history. */
void flat_record_pages_of(struct pci_dev *pdev, u32 type, u64 vaddr, const struct flat_pages *pages)
{
	struct flatiommu_event e;
	struct flat_history *h;
	unsigned long i, n;

	if (!atomic_read(&nr_histories))
		return;
	h = flat_history_of(pdev);
	if (IS_ERR(h))
		return;
	new_event(&e, type, vaddr, 0, 0);
	for (i = 0; i < pages->nr_runs; i += n) {
		n = min(pages->nr_runs - i, (unsigned long)RUNS_AT_ONCE);
		add_runs(h, &e, pages, i, n);
		cond_resched();
	}
	flat_history_put(h);
}

/* Events are copied to the program in batches, through a page. */
#define BATCH (PAGE_SIZE / sizeof(struct flatiommu_event))

/* Returns the number of the oldest event that is kept. */
static u64 oldest(const struct flat_history *h)
{
	lockdep_assert_held(&h->lock);
	return h->next > h->size ? h->next - h->size : 0;
}

static const struct flatiommu_event *event_of(const struct flat_history *h, u64 number)
{
	return &h->events[number % h->size];
}

/* Returns 0 if the caller may read histories, else -EPERM. */
static int may_read(const struct flat_file *f)
{
	return f->mm == current->mm && capable(CAP_SYS_RAWIO) ? 0 : -EPERM;
}

static bool may_see_addresses(void)
{
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
}

/* Writes @n events to the program's array at @events, from index @at on. */
static int copy_out(u64 events, u64 at, const struct flatiommu_event *batch, unsigned int n)
{
	struct flatiommu_event __user *to = u64_to_user_ptr(events);

	cond_resched();
	if (copy_to_user(to + at, batch, n * sizeof(*batch)))
		return -EFAULT;
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/*
 * Copies at most @n events, from number *@first on. If that event is lost, sets *@first to the
 * number of the oldest one that is kept. Returns how many events were copied.
 */
static unsigned int copy_events(struct flat_history *h, u64 *first, struct flatiommu_event *to,
				unsigned int n)
{
	unsigned int i;

	spin_lock(&h->lock);
	*first = max(*first, oldest(h));
	n = *first < h->next ? min_t(u64, n, h->next - *first) : 0;
	for (i = 0; i < n; i++)
		to[i] = *event_of(h, *first + i);
	spin_unlock(&h->lock);
	return n;
}

static int read_events(struct flat_history *h, struct flatiommu_history *arg,
		       struct flatiommu_event *batch)
{
	bool addresses = may_see_addresses();
	unsigned int done = 0, n, i;
	u64 at = arg->first;
	int ret = 0;

	do {
		u64 next = at;

		n = copy_events(h, &at, batch, min_t(u64, arg->nr_events - done, BATCH));
		if (!done)
			arg->first = at;
		else if (at != next)
			/* Events were lost meanwhile, and the array must have no gap. */
			break;
		for (i = 0; i < n && !addresses; i++) {
			batch[i].at = 0;
			batch[i].address = 0;
		}
		ret = copy_out(arg->events, done, batch, n);
		done += n;
		at += n;
	} while (!ret && n && done < arg->nr_events);
	arg->nr_events = done;
	arg->out_size = h->size;
	return ret;
}

/* FLATIOMMU_HISTORY */
int flat_read_history(struct flat_file *f, struct flatiommu_history *arg)
{
	struct flatiommu_event *batch;
	struct flat_history *h;
	struct pci_dev *pdev;
	int ret;

	ret = may_read(f);
	if (ret)
		return ret;
	if (!arg->nr_events)
		return -EINVAL;
	ret = flat_get_function(&arg->function, &pdev);
	if (ret)
		return ret;
	h = flat_history_of(pdev);
	pci_dev_put(pdev);
	if (IS_ERR(h))
		return PTR_ERR(h);
	batch = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
	ret = batch ? read_events(h, arg, batch) : -ENOMEM;
	kfree(batch);
	flat_history_put(h);
	return ret;
}

static bool overlaps(u64 start, u64 length, const struct flatiommu_who *arg)
{
	return length && start <= arg->address + (arg->length - 1) &&
	       arg->address <= start + (length - 1);
}

/*
 * Does @e concern the memory of @arg? That includes a refused map whose IOVA is the memory's
 * address: the program may use the IOVA as a bus address all the same.
 */
static bool concerns(const struct flatiommu_event *e, const struct flatiommu_who *arg)
{
	return overlaps(e->address, e->length, arg) ||
	       (e->type == FLATIOMMU_EVENT_REFUSE && overlaps(e->at, e->length, arg));
}

/* Maximum number of events to look at in one critical section. */
#define EVENTS_AT_ONCE 256

/*
 * Copies events that concern @arg, from number *@at on. Sets *@at to the number where the next call
 * begins, or to U64_MAX at the end. If events are lost, raises *@since to the time of the oldest
 * one that is kept. Returns how many events were copied.
 */
static unsigned int copy_concerning(struct flat_history *h, u64 *at,
				    const struct flatiommu_who *arg, struct flatiommu_event *to,
				    u64 *since)
{
	unsigned int budget = EVENTS_AT_ONCE, n = 0;

	spin_lock(&h->lock);
	if (oldest(h))
		*since = max(*since, event_of(h, oldest(h))->time);
	*at = max(*at, oldest(h));
	for (; *at < h->next && budget-- && n < BATCH; ++*at)
		if (concerns(event_of(h, *at), arg))
			to[n++] = *event_of(h, *at);
	if (*at == h->next)
		*at = U64_MAX;
	spin_unlock(&h->lock);
	return n;
}

static int look_at(struct flat_history *h, struct flatiommu_who *arg,
		   struct flatiommu_event *batch)
{
	unsigned int n, room;
	int ret = 0;
	u64 at = 0;

	while (!ret && at != U64_MAX) {
		n = copy_concerning(h, &at, arg, batch, &arg->out_since);
		room = arg->nr_events - min_t(u64, arg->nr_events, arg->out_events);
		ret = copy_out(arg->events, arg->out_events, batch, min(n, room));
		arg->out_events += n;
	}
	return ret;
}

/* FLATIOMMU_WHO */
int flat_read_who(struct flat_file *f, struct flatiommu_who *arg)
{
	struct flatiommu_event *batch;
	struct flat_history **all;
	unsigned int i, n;
	u64 last;
	int ret;

	ret = may_read(f);
	if (ret)
		return ret;
	/* Each event that this returns tells something about the physical address. */
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (!arg->nr_events || !arg->length ||
	    check_add_overflow(arg->address, arg->length - 1, &last))
		return -EINVAL;
	all = flat_all_histories(&n);
	if (IS_ERR(all))
		return PTR_ERR(all);
	arg->out_events = 0;
	arg->out_since = 0;
	ret = n ? 0 : -ENODATA;
	batch = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
	if (!batch)
		ret = -ENOMEM;
	for (i = 0; i < n && !ret; i++)
		ret = look_at(all[i], arg, batch);
	kfree(batch);
	for (i = 0; i < n; i++)
		flat_history_put(all[i]);
	kvfree(all);
	arg->nr_events = min_t(u64, arg->nr_events, arg->out_events);
	return ret;
}
