// SPDX-License-Identifier: GPL-2.0-only
/*
 * Claims: which functions have a dummy IOMMU, and how they get and lose it.
 *
 * Locks, outermost first:
 *	device_lock(function) -> flat_claims_lock -> locks of the IOMMU core (probe lock,
 *	group->mutex)
 * device_lock() keeps a driver from binding between the check and the (un)registration; lockdep
 * does not see it. Notifier callbacks take neither device_lock(), because some of them run with it
 * held, nor pci_lock_rescan_remove(), because hot-unplug holds it.
 *
 * The last reference to a group is put from a work item, with no lock held: putting it waits for
 * writers of the group's sysfs files, and up to 6.4 one of them waits for device_lock().
 */
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/panic.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "declare.h"
#include "flatiommu.h"
#include "history.h"
#include "wc.h"

DEFINE_MUTEX(flat_claims_lock);	/* see above */

/* flat_claims_lock protects all of these. */
static bool live;		/* the module is loaded: claims may be made */
static LIST_HEAD(claims);
static LIST_HEAD(retired);	/* unregistered, group not put yet */
static LIST_HEAD(spares);	/* memory of ended claims, see new_claim() */
static LIST_HEAD(going);	/* functions between DEL_DEVICE and REMOVED_DEVICE */

struct going_function {
	struct list_head entry;
	struct device *dev;
};

/*
 * Set under flat_claims_lock for the length of a registration. The core calls probe_device() for
 * any device and in any task meanwhile. Only a call in the claimer's task may use @claiming.
 */
static struct task_struct *claimer;
static struct flat_claim *claiming;

/* Returns the claim that this task is registering, if it is for @dev, or NULL. */
struct flat_claim *flat_claim_being_made(struct device *dev)
{
	if (READ_ONCE(claimer) != current || dev != &claiming->pdev->dev)
		return NULL;
	return claiming;
}

static struct flat_claim *find_claim(struct device *dev)
{
	struct flat_claim *claim;

	lockdep_assert_held(&flat_claims_lock);
	list_for_each_entry(claim, &claims, entry)
		if (&claim->pdev->dev == dev)
			return claim;
	return NULL;
}

/* Returns the claim of @pdev, or NULL. Caller holds flat_claims_lock. */
struct flat_claim *flat_claim_of(struct pci_dev *pdev)
{
	return find_claim(&pdev->dev);
}

/* Returns the claimed function in a group, with a reference for the caller, or NULL. */
struct pci_dev *flat_claimed_with_group(int group)
{
	struct pci_dev *pdev = NULL;
	struct flat_claim *claim;

	mutex_lock(&flat_claims_lock);
	list_for_each_entry(claim, &claims, entry)
		if (iommu_group_id(claim->group) == group)
			pdev = pci_dev_get(claim->pdev);
	mutex_unlock(&flat_claims_lock);
	return pdev;
}

/**
 * flat_uses_bus_addresses() - does a function reach memory at bus addresses?
 * @pdev:	a function, claimed or not
 *
 * Returns
 * 0			yes
 * -EALREADY		no: an IOMMU translates for it
 * -EAFNOSUPPORT	no: bus addresses are not enough on this machine
 */
int flat_uses_bus_addresses(struct pci_dev *pdev)
{
	bool translated = false;

	mutex_lock(&flat_claims_lock);
	/* A group of VFIO's no-IOMMU mode has no domain. A group of a real IOMMU stays. */
	if (!find_claim(&pdev->dev) && pdev->dev.iommu_group)
		translated = iommu_get_domain_for_dev(&pdev->dev);
	mutex_unlock(&flat_claims_lock);
	if (translated)
		return -EALREADY;
	return flat_not_plain(pdev) ? -EAFNOSUPPORT : 0;
}

static struct going_function *find_going(struct device *dev)
{
	struct going_function *g;

	lockdep_assert_held(&flat_claims_lock);
	list_for_each_entry(g, &going, entry)
		if (g->dev == dev)
			return g;
	return NULL;
}

/* Has another program than the caller taken @pdev over? */
bool flat_is_anothers(struct pci_dev *pdev)
{
	struct flat_claim *claim;
	bool is;

	mutex_lock(&flat_claims_lock);
	claim = find_claim(&pdev->dev);
	spin_lock(&flat_attach_lock);
	is = claim && claim->owner && claim->owner != current->mm;
	spin_unlock(&flat_attach_lock);
	mutex_unlock(&flat_claims_lock);
	return is;
}

/* The history of @pdev, which the caller puts; -ENOENT: no claim, -ENODATA: it has no history. */
struct flat_history *flat_history_of(struct pci_dev *pdev)
{
	struct flat_history *history = ERR_PTR(-ENOENT);
	struct flat_claim *claim;

	mutex_lock(&flat_claims_lock);
	claim = find_claim(&pdev->dev);
	if (claim)
		history = claim->history ? : ERR_PTR(-ENODATA);
	if (!IS_ERR(history))
		refcount_inc(&history->refs);
	mutex_unlock(&flat_claims_lock);
	return history;
}

/* Those of all claimed functions, @n, to be put, in an array for kvfree(); or -ENOMEM. */
struct flat_history **flat_all_histories(unsigned int *n)
{
	struct flat_history **all;
	struct flat_claim *claim;
	unsigned int room = 0;

	mutex_lock(&flat_claims_lock);
	list_for_each_entry(claim, &claims, entry)
		room++;
	all = kvmalloc_array(room, sizeof(*all), GFP_KERNEL_ACCOUNT);
	*n = 0;
	list_for_each_entry(claim, &claims, entry) {
		if (!all || !claim->history)
			continue;
		refcount_inc(&claim->history->refs);
		all[(*n)++] = claim->history;
	}
	mutex_unlock(&flat_claims_lock);
	return all ? : ERR_PTR(-ENOMEM);
}

/* Stops @pdev: no attach starts it again. Returns the value of flat_clear_master(). */
bool flat_stop(struct pci_dev *pdev)
{
	struct flat_claim *claim;
	bool cleared;

	mutex_lock(&flat_claims_lock);
	claim = find_claim(&pdev->dev);
	spin_lock(&flat_attach_lock);
	if (claim)
		claim->paused = false;
	cleared = flat_clear_master(pdev);
	if (claim && cleared)
		flat_record_event(claim->history, FLATIOMMU_EVENT_STOP);
	spin_unlock(&flat_attach_lock);
	mutex_unlock(&flat_claims_lock);
	return cleared;
}

/* Records the task that is binding a driver to @pdev; NULL when the bind is over. */
void flat_claim_binds(struct pci_dev *pdev, struct task_struct *task)
{
	struct flat_claim *claim;

	mutex_lock(&flat_claims_lock);
	claim = find_claim(&pdev->dev);
	if (claim)
		WRITE_ONCE(claim->binder, task);
	mutex_unlock(&flat_claims_lock);
}

/*
 * Finds the doorbell of a claimed function whose driver is about to bind: from then on the
 * function is the driver's. Caller holds device_lock().
 */
void flat_claim_finds_doorbell(struct pci_dev *pdev)
{
	struct flat_claim *claim;
	u64 doorbell;
	bool claimed;

	if (!flat_compat_needs_doorbell() || !to_pci_driver(pdev->dev.driver)->driver_managed_dma)
		return;
	mutex_lock(&flat_claims_lock);
	claimed = find_claim(&pdev->dev);
	mutex_unlock(&flat_claims_lock);
	if (!claimed)
		return;
	doorbell = flat_find_doorbell(pdev);
	mutex_lock(&flat_claims_lock);
	claim = find_claim(&pdev->dev);
	if (claim)
		WRITE_ONCE(claim->doorbell, doorbell);
	mutex_unlock(&flat_claims_lock);
}

/* Is @pdev being removed? Then it gets no claim and no guard. */
bool flat_function_is_going(struct pci_dev *pdev)
{
	bool is;

	mutex_lock(&flat_claims_lock);
	is = find_going(&pdev->dev);
	mutex_unlock(&flat_claims_lock);
	return is;
}

/* Returns the number of @pdev's group, or -1. */
int flat_group_of(struct pci_dev *pdev)
{
	struct iommu_group *group;
	int id = -1;

	/* Under the lock a claim keeps its reference, so this put is not the last one. */
	mutex_lock(&flat_claims_lock);
	group = iommu_group_get(&pdev->dev);
	if (group)
		id = iommu_group_id(group);
	iommu_group_put(group);
	mutex_unlock(&flat_claims_lock);
	return id;
}

static void reap_retired(struct work_struct *work)
{
	struct flat_claim *claim;
	LIST_HEAD(list);

	mutex_lock(&flat_claims_lock);
	list_splice_init(&retired, &list);
	if (list_empty(&claims))
		flat_compat_forget_ops(&flat_iommu_ops);
	mutex_unlock(&flat_claims_lock);

	list_for_each_entry(claim, &list, entry) {
		iommu_group_put(claim->group);
		pci_dev_put(claim->pdev);
	}

	mutex_lock(&flat_claims_lock);
	list_splice(&list, &spares);
	mutex_unlock(&flat_claims_lock);
}

static DECLARE_WORK(reap_work, reap_retired);

static void forget_history(struct flat_claim *claim)
{
	struct flat_history *history = claim->history;

	if (!history)
		return;
	spin_lock(&flat_attach_lock);
	flat_history_leave(history);
	claim->history = NULL;
	spin_unlock(&flat_attach_lock);
	flat_history_put(history);
}

/* Ends @claim, which is unregistered and in no list. */
static void retire(struct flat_claim *claim)
{
	lockdep_assert_held(&flat_claims_lock);
	/* The core has released the function, and so detached it from its domain. */
	WARN_ON_ONCE(claim->attachment != FLAT_IDENTITY || claim->domain);
	flat_forget_declarations(claim);
	flat_wc_release(claim);
	iommu_device_sysfs_remove(&claim->iommu);
	forget_history(claim);
	list_add(&claim->entry, &retired);
	queue_work(flat_wq, &reap_work);
}

/*
 * Ended claims are used again (spares) and freed only at the module's exit: when a device is added,
 * the core reads iommu_device.ops of every IOMMU without a lock or reference.
 */
static struct flat_claim *new_claim(struct pci_dev *pdev)
{
	struct flat_history *history = flat_history_new(pdev);
	struct flat_claim *claim;

	lockdep_assert_held(&flat_claims_lock);
	if (IS_ERR(history))
		return NULL;
	claim = list_first_entry_or_null(&spares, struct flat_claim, entry);
	if (claim)
		list_del(&claim->entry);
	else
		claim = kzalloc(sizeof(*claim), GFP_KERNEL);
	if (!claim) {
		flat_history_put(history);
		return NULL;
	}
	claim->pdev = pci_dev_get(pdev);
	claim->group = NULL;
	claim->probed = false;
	claim->attachment = FLAT_IDENTITY;
	claim->owner = NULL;
	claim->judged = false;
	claim->suspect = false;
	claim->binder = NULL;
	claim->doorbell = 0;
	claim->paused = false;
	claim->domain = NULL;
	claim->history = history;
	INIT_LIST_HEAD(&claim->attached);
	INIT_LIST_HEAD(&claim->declarations);
	return claim;
}

static int register_claim(struct flat_claim *claim)
{
	int ret;

	lockdep_assert_held(&flat_claims_lock);
	claiming = claim;
	WRITE_ONCE(claimer, current);
	ret = flat_compat_register(&claim->iommu, &flat_iommu_ops, &claim->pdev->dev);
	WRITE_ONCE(claimer, NULL);
	claiming = NULL;
	/* A failed registration has unregistered itself. */
	if (ret)
		return ret;
	if (claim->probed)
		return 0;
	/* From 6.8 on a function of another IOMMU is not probed, and registering succeeds. */
	iommu_device_unregister(&claim->iommu);
	return -EALREADY;
}

static void taint_kernel(void)
{
	if (test_taint(TAINT_USER))
		return;
	pr_warn("user space gets devices that can reach all of memory; this taints the kernel\n");
	add_taint(TAINT_USER, LOCKDEP_STILL_OK);
}

/**
 * flat_claim_function() - put a function under a dummy IOMMU
 * @pdev:	the function; the caller holds its device_lock(), or it cannot be bound yet
 * @how:	how it was asked for, for the log
 * @binding:	a vfio driver is about to bind to it
 * @wc_bars:	a bit for each BAR to be held write-combined
 *
 * Returns 0 or an error of claim, see routes.c. Logs the success or the error.
 */
int flat_claim_function(struct pci_dev *pdev, const char *how, bool binding,
			unsigned long wc_bars)
{
	struct flat_claim *claim;
	int ret;

	mutex_lock(&flat_claims_lock);
	if (!live) {
		pr_warn("%s: not claimed: the module is still being loaded\n", pci_name(pdev));
		ret = -EAGAIN;
		goto unlock;
	}
	if (find_claim(&pdev->dev)) {
		pr_warn("%s: not claimed: it is claimed already\n", pci_name(pdev));
		ret = -EEXIST;
		goto unlock;
	}
	if (find_going(&pdev->dev) || !device_is_registered(&pdev->dev)) {
		pr_warn("%s: not claimed: it is being removed\n", pci_name(pdev));
		ret = -ENODEV;
		goto unlock;
	}
	ret = flat_may_claim(pdev, binding);
	if (ret)
		goto unlock;
	if (pdev->dev.driver && !binding) {
		pr_warn("%s: not claimed: %s is bound to it; unbind that first\n", pci_name(pdev),
			pdev->dev.driver->name);
		ret = -EBUSY;
		goto unlock;
	}

	claim = new_claim(pdev);
	if (!claim) {
		pr_warn("%s: not claimed: no memory\n", pci_name(pdev));
		ret = -ENOMEM;
		goto unlock;
	}
	ret = flat_wc_hold(claim, wc_bars);
	if (ret)
		goto put_claim;
	/* No parent: its directory in the function's would have the name of the core's link. */
	ret = iommu_device_sysfs_add(&claim->iommu, NULL, NULL, "flatiommu-%s",
				     pci_name(pdev));
	if (ret) {
		pr_warn("%s: not claimed: error %d\n", pci_name(pdev), ret);
		goto release_wc;
	}
	ret = register_claim(claim);
	if (ret) {
		pr_warn("%s: not claimed: the IOMMU core refused it (%d)%s\n", pci_name(pdev), ret,
			ret == -EBUSY || ret == -EALREADY ?
			"; another IOMMU driver is there, or it is being removed" : "");
		retire(claim);
		/* Up to 6.7 the core returns -EBUSY, which means a bound driver here. */
		if (ret == -EBUSY)
			ret = -EALREADY;
		goto unlock;
	}
	list_add(&claim->entry, &claims);
	pr_notice("%s: claimed %s: bus addresses, no isolation\n", pci_name(pdev), how);
	if (wc_bars)
		pr_notice("%s: write-combined while it is claimed: BAR %*pbl\n", pci_name(pdev),
			  PCI_STD_NUM_BARS, &wc_bars);
	taint_kernel();
	mutex_unlock(&flat_claims_lock);
	return 0;

release_wc:
	flat_wc_release(claim);
put_claim:
	forget_history(claim);
	pci_dev_put(claim->pdev);
	list_add(&claim->entry, &spares);
unlock:
	mutex_unlock(&flat_claims_lock);
	return ret;
}

/* Caller holds device_lock(). */
int flat_release_function(struct pci_dev *pdev)
{
	struct flat_claim *claim;
	int ret = 0;

	device_lock_assert(&pdev->dev);
	mutex_lock(&flat_claims_lock);
	claim = find_claim(&pdev->dev);
	if (!claim) {
		pr_warn("%s: not released: it is not claimed\n", pci_name(pdev));
		ret = -ENOENT;
	} else if (find_going(&pdev->dev)) {
		/* Off the bus, unregister does not find it, and the core still needs the IOMMU. */
		pr_warn("%s: not released: it is being removed, which releases it\n",
			pci_name(pdev));
		ret = -ENODEV;
	} else if (pdev->dev.driver) {
		pr_warn("%s: not released: %s is bound to it; unbind that first\n", pci_name(pdev),
			pdev->dev.driver->name);
		ret = -EBUSY;
	} else {
		list_del(&claim->entry);
		iommu_device_unregister(&claim->iommu);
		retire(claim);
		pr_notice("%s: released\n", pci_name(pdev));
	}
	mutex_unlock(&flat_claims_lock);
	return ret;
}

/*
 * DEL_DEVICE: refuses claims and releases until REMOVED_DEVICE. The core would never end a claim
 * made now, and a release now would remove the IOMMU that the core still needs to detach the
 * function.
 */
void flat_function_goes(struct device *dev)
{
	struct going_function *g = kmalloc(sizeof(*g), GFP_KERNEL | __GFP_NOFAIL);

	g->dev = dev;
	mutex_lock(&flat_claims_lock);
	list_add(&g->entry, &going);
	mutex_unlock(&flat_claims_lock);
}

/* REMOVED_DEVICE: the core's notifier, which runs before ours, has detached the function. */
void flat_function_gone(struct device *dev)
{
	struct flat_claim *claim;
	struct going_function *g;

	mutex_lock(&flat_claims_lock);
	g = find_going(dev);
	if (g) {
		list_del(&g->entry);
		kfree(g);
	}
	claim = find_claim(dev);
	if (claim) {
		list_del(&claim->entry);
		iommu_device_unregister(&claim->iommu);
		retire(claim);
		pr_notice("%s: released: it was removed\n", dev_name(dev));
	}
	mutex_unlock(&flat_claims_lock);
}

/* Allows claims. */
void flat_claim_start(void)
{
	mutex_lock(&flat_claims_lock);
	live = true;
	mutex_unlock(&flat_claims_lock);
}

static int ignore_event(struct notifier_block *nb, unsigned long event, void *data)
{
	return NOTIFY_DONE;
}

/*
 * No claim is left: the core holds a reference to the module for each one. The module's notifier is
 * unregistered.
 */
void flat_claim_exit(void)
{
	struct notifier_block nb = { .notifier_call = ignore_event };
	struct going_function *g, *next_g;
	struct flat_claim *claim, *next;
	struct bus_type *bus;
	unsigned int i;

	flush_workqueue(flat_wq);
	mutex_lock(&flat_claims_lock);
	WARN_ON_ONCE(!list_empty(&claims) || !list_empty(&retired));
	flat_compat_forget_ops(&flat_iommu_ops);
	mutex_unlock(&flat_claims_lock);
	/* Wait for the core: it may be adding a device with ops that it read before. */
	for (i = 0; (bus = flat_compat_bus(i)); i++) {
		bus_register_notifier(bus, &nb);
		bus_unregister_notifier(bus, &nb);
	}
	list_for_each_entry_safe(g, next_g, &going, entry)
		kfree(g);
	list_for_each_entry_safe(claim, next, &spares, entry)
		kfree(claim);
}
