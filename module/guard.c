// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions that memory is pinned for. Before memory that one may still write to is given back to
 * the kernel, the function is stopped: a program's files are closed in any order when it dies, and
 * /dev/flatiommu may come before the one whose close would stop the function.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "flatiommu.h"
#include "guard.h"

static DEFINE_MUTEX(guards_lock);	/* see struct flat_guard */
static LIST_HEAD(guards);

static struct flat_guard *find_guard(const struct pci_dev *pdev)
{
	struct flat_guard *guard;

	list_for_each_entry(guard, &guards, entry)
		if (guard->pdev == pdev)
			return guard;
	return NULL;
}

static struct flat_guard *new_guard(struct pci_dev *pdev)
{
	struct flat_guard *guard = kzalloc(sizeof(*guard), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!guard)
		return ERR_PTR(-ENOMEM);
	/* Keeps dma_range_map. Not waited for, as an unbind may wait for us. */
	if (!device_trylock(&pdev->dev)) {
		kfree(guard);
		return ERR_PTR(-EBUSY);
	}
	ret = flat_bus_map_take(&guard->bus_map, pdev);
	device_unlock(&pdev->dev);
	if (ret) {
		kfree(guard);
		return ERR_PTR(ret);
	}
	guard->pdev = pci_dev_get(pdev);
	list_add(&guard->entry, &guards);
	return guard;
}

/**
 * flat_guard_get() - memory is being pinned for a function
 * @pdev:	the function
 *
 * Returns the guard, which counts one pin more, or -EALREADY, -EAFNOSUPPORT, -EACCES, -EBUSY or
 * -ENOMEM as an error pointer, see FLATIOMMU_PIN.
 */
struct flat_guard *flat_guard_get(struct pci_dev *pdev)
{
	struct flat_guard *guard;
	int ret = flat_uses_bus_addresses(pdev);

	if (ret)
		return ERR_PTR(ret);
	if (flat_locked_down(pdev))
		return ERR_PTR(-EACCES);
	mutex_lock(&guards_lock);
	guard = find_guard(pdev);
	if (!guard)
		guard = new_guard(pdev);
	if (!IS_ERR(guard))
		guard->pins++;
	mutex_unlock(&guards_lock);
	return guard;
}

/* Caller holds device_lock(). A kernel driver may have come to the function since. */
static bool is_for_user_space(struct pci_dev *pdev)
{
	struct device_driver *driver = pdev->dev.driver;

	return !driver || to_pci_driver(driver)->driver_managed_dma || strstr(driver->name, "uio");
}

#define LOCK_TRIES 50

/*
 * Whoever holds device_lock() for long is an unbind that waits for the program which lets go here;
 * it has the function until then.
 */
static bool lock_for_a_while(struct device *dev)
{
	int i;

	for (i = 0; i < LOCK_TRIES; i++) {
		if (device_trylock(dev))
			return true;
		msleep(20);
	}
	return false;
}

static void quiesce(struct pci_dev *pdev)
{
	bool locked = lock_for_a_while(&pdev->dev);

	if (!locked || is_for_user_space(pdev)) {
		if (flat_clear_master(pdev))
			pr_notice("%s: bus mastering is cleared, as %s[%d] lets go of memory that was pinned for it\n",
				  pci_name(pdev), current->comm, task_tgid_nr(current));
		/* Also when the program has cleared it just before. PCIe 6.0 section 7.5.3.5. */
		if (pdev->current_state == PCI_D0 && pci_device_is_present(pdev) &&
		    !pci_wait_for_pending_transaction(pdev))
			pr_warn("%s: transactions are still pending\n", pci_name(pdev));
	}
	if (locked)
		device_unlock(&pdev->dev);
}

/**
 * flat_guard_put() - memory that was pinned for a function is about to be let go
 * @guard:	from flat_guard_get()
 * @stop:	stop the function when nothing else is pinned for it; not where it was never told
 */
void flat_guard_put(struct flat_guard *guard, bool stop)
{
	bool last;

	mutex_lock(&guards_lock);
	last = !--guard->pins;
	if (last)
		list_del(&guard->entry);
	mutex_unlock(&guards_lock);
	if (!last)
		return;
	if (stop)
		quiesce(guard->pdev);
	flat_bus_map_drop(&guard->bus_map);
	pci_dev_put(guard->pdev);
	kfree(guard);
}

/* Names a close of a file for flat_guard_close(). */
u64 flat_guard_new_close(void)
{
	static atomic64_t last;

	return atomic64_inc_return(&last);
}

/* A file with memory pinned for the function is being closed; the function is stopped once. */
void flat_guard_close(struct flat_guard *guard, u64 closing)
{
	bool done;

	mutex_lock(&guards_lock);
	done = guard->closing == closing;
	guard->closing = closing;
	mutex_unlock(&guards_lock);
	if (!done)
		quiesce(guard->pdev);
}
