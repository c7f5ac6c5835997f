// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a function gets a claim, and how it loses it.
 *
 * Locks, outermost first:
 *	device_lock(function) -> flat_claims_lock -> locks of the IOMMU core (probe lock,
 *	group->mutex)
 * device_lock() keeps a driver from binding between the check and the (un)registration; lockdep
 * does not see it. Notifier callbacks take neither device_lock(), because some of them run with it
 * held, nor pci_lock_rescan_remove(), because hot-unplug holds it.
 *
 * A work item drops the last reference to a group, with no lock held: the drop waits for writers of
 * the group's sysfs files, and up to 6.4 one of them waits for device_lock().
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
#include "options.h"
#include "wc.h"

/*
 * flat_claims_lock protects all of these.
 *
 * The memory of a claim is freed only at the module's exit: when a device is added, the core reads
 * iommu_device.ops of every IOMMU without a lock or reference. So a claim that ends is used again:
 * - retire() adds the claim to the retired ones;
 * - reap_retired(), a work item, drops its references to the group and the function, and makes it a
 *   spare;
 * - new_claim() uses a spare, if there is one.
 */
static bool live;		/* the module is loaded: claims may be made */
static LIST_HEAD(retired);
static LIST_HEAD(spares);
static LIST_HEAD(going);	/* functions between DEL_DEVICE and REMOVED_DEVICE */

struct going_function {
	struct list_head entry;
	struct device *dev;
};

/*
 * The task that registers a claim, and that claim; set under flat_claims_lock. During a
 * registration the core may call probe_device() for any device and in any task. Only a call in the
 * claimer's task may use @claiming.
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

static struct going_function *find_going(struct device *dev)
{
	struct going_function *g;

	lockdep_assert_held(&flat_claims_lock);
	list_for_each_entry(g, &going, entry)
		if (g->dev == dev)
			return g;
	return NULL;
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

/* Drops the references of retired claims, and makes the claims spares. */
static void reap_retired(struct work_struct *work)
{
	struct flat_claim *claim;
	LIST_HEAD(list);

	mutex_lock(&flat_claims_lock);
	list_splice_init(&retired, &list);
	if (list_empty(&flat_claims))
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

/* Returns a claim of @pdev that is in no list, or NULL if there is no memory. */
static struct flat_claim *new_claim(struct pci_dev *pdev, const struct flat_options *options)
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
	claim->hold = options->hold;
	claim->fence = options->fence;
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
	pr_warn("user space gets functions that can reach all of memory; this taints the kernel\n");
	add_taint(TAINT_USER, LOCKDEP_STILL_OK);
}

/**
 * flat_claim_function() - give a function a dummy IOMMU and a group
 * @pdev:	the function; the caller holds its device_lock(), or it cannot be bound yet
 * @how:	how the claim came about, for the log
 * @binding:	a vfio driver is about to bind to it
 * @options:	of the claim
 *
 * Returns 0 or an error of claim, see routes.c. Logs the success or the error.
 */
int flat_claim_function(struct pci_dev *pdev, const char *how, bool binding,
			const struct flat_options *options)
{
	struct flat_claim *claim;
	int ret;

	mutex_lock(&flat_claims_lock);
	if (!live) {
		pr_warn("%s: not claimed: the module is still being loaded\n", pci_name(pdev));
		ret = -EAGAIN;
		goto unlock;
	}
	if (flat_claim_of(pdev)) {
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

	claim = new_claim(pdev, options);
	if (!claim) {
		pr_warn("%s: not claimed: no memory\n", pci_name(pdev));
		ret = -ENOMEM;
		goto unlock;
	}
	ret = flat_wc_hold(claim, options->wc_bars);
	if (ret)
		goto put_claim;
	/*
	 * No parent. With the function as the parent, sysfs would make a directory "iommu" in the
	 * function's directory, where the core adds a link of that name.
	 */
	ret = iommu_device_sysfs_add(&claim->iommu, NULL, NULL, "flatiommu-%s",
				     pci_name(pdev));
	if (ret) {
		pr_warn("%s: not claimed: error %d\n", pci_name(pdev), ret);
		goto release_wc;
	}
	ret = register_claim(claim);
	if (ret) {
		pr_warn("%s: not claimed: the IOMMU core returned %d%s\n", pci_name(pdev), ret,
			ret == -EBUSY || ret == -EALREADY ?
			"; another IOMMU driver is there, or it is being removed" : "");
		retire(claim);
		/* Up to 6.7 the core returns -EBUSY, which means a bound driver here. */
		if (ret == -EBUSY)
			ret = -EALREADY;
		goto unlock;
	}
	flat_list_claim(claim);
	pr_notice("%s: claimed %s: bus addresses, no isolation\n", pci_name(pdev), how);
	if (options->wc_bars)
		pr_notice("%s: write-combined while it is claimed: BAR %*pbl\n", pci_name(pdev),
			  PCI_STD_NUM_BARS, &options->wc_bars);
	if (options->hold || options->fence)
		pr_notice("%s: options of its claim:%s%s\n", pci_name(pdev),
			  options->hold ? " hold" : "", options->fence ? " fence" : "");
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

/*
 * Ends the claim of @pdev. Returns 0 or an error of release, see routes.c. Caller holds
 * device_lock().
 */
int flat_release_function(struct pci_dev *pdev)
{
	struct flat_claim *claim;
	int ret = 0;

	device_lock_assert(&pdev->dev);
	mutex_lock(&flat_claims_lock);
	claim = flat_claim_of(pdev);
	if (!claim) {
		pr_warn("%s: not released: it is not claimed\n", pci_name(pdev));
		ret = -ENOENT;
	} else if (find_going(&pdev->dev)) {
		/* The function may be off the bus. Unregistering would not detach it then. */
		pr_warn("%s: not released: it is being removed, which releases it\n",
			pci_name(pdev));
		ret = -ENODEV;
	} else if (pdev->dev.driver) {
		pr_warn("%s: not released: %s is bound to it; unbind that first\n", pci_name(pdev),
			pdev->dev.driver->name);
		ret = -EBUSY;
	} else {
		flat_unlist_claim(claim);
		iommu_device_unregister(&claim->iommu);
		retire(claim);
		pr_notice("%s: released\n", pci_name(pdev));
	}
	mutex_unlock(&flat_claims_lock);
	return ret;
}

/*
 * DEL_DEVICE: until REMOVED_DEVICE, @dev can be neither claimed nor released. The core would never
 * end a claim made now, and a release now would remove the IOMMU that the core still needs to
 * detach the function.
 */
void flat_function_goes(struct device *dev)
{
	struct going_function *g = kmalloc(sizeof(*g), GFP_KERNEL | __GFP_NOFAIL);

	g->dev = dev;
	mutex_lock(&flat_claims_lock);
	list_add(&g->entry, &going);
	mutex_unlock(&flat_claims_lock);
}

/* REMOVED_DEVICE: ends the claim. The core's notifier runs first, and has detached the function. */
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
	claim = flat_claim_of(to_pci_dev(dev));
	if (claim) {
		flat_unlist_claim(claim);
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
 * Frees the memory of all claims. No claim is left, because the core holds a reference to the
 * module for each one, and the module's notifier is unregistered.
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
	WARN_ON_ONCE(!list_empty(&flat_claims) || !list_empty(&retired));
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
