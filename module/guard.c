// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guard is the object for a function that has pins. It clears the function's bus mastering before
 * the memory goes back to the kernel: the files of a dying process are closed in any order, and
 * /dev/flatiommu may be closed before the VFIO file whose close stops the function.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pm_runtime.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "flatiommu.h"
#include "guard.h"
#include "index.h"

static DEFINE_MUTEX(guards_lock);	/* see struct flat_guard; outside flat_claims_lock */
static LIST_HEAD(guards);

static struct flat_guard *find_guard(const struct pci_dev *pdev)
{
	struct flat_guard *guard;

	lockdep_assert_held(&guards_lock);
	list_for_each_entry(guard, &guards, entry)
		if (guard->pdev == pdev)
			return guard;
	return NULL;
}

/*
 * Will flat_guard_end() still be called for @pdev? The order of the last two checks matters: at
 * REMOVED_DEVICE the function leaves the list of functions that are being removed, and is off the
 * bus by then. A removal that begins after the checks waits for guards_lock in flat_guard_end(),
 * and finds the guard.
 */
static bool is_there(struct pci_dev *pdev)
{
	return device_is_registered(&pdev->dev) && !flat_function_is_going(pdev) &&
	       flat_is_on_bus(pdev);
}

static struct flat_guard *new_guard(struct pci_dev *pdev)
{
	struct flat_guard *guard = kzalloc(sizeof(*guard), GFP_KERNEL_ACCOUNT);
	int ret = -ENODEV;

	lockdep_assert_held(&guards_lock);
	if (!guard)
		return ERR_PTR(-ENOMEM);
	/*
	 * Under device_lock() neither dma_range_map nor the buses above the function change. Do not
	 * wait for the lock: an unbind that holds it may be waiting for this program.
	 */
	if (!device_trylock(&pdev->dev)) {
		kfree(guard);
		return ERR_PTR(-EBUSY);
	}
	/* Except on x86, only a bind finds out how the function sees memory. */
	if (!IS_ENABLED(CONFIG_X86) && !pdev->dev.driver) {
		ret = -EBUSY;
	} else if (flat_is_incoherent(pdev, "memory is not pinned for it")) {
		ret = -EPROTONOSUPPORT;
	} else if (is_there(pdev)) {
		guard->name.segment = pci_domain_nr(pdev->bus);
		guard->name.bus = pdev->bus->number;
		guard->name.devfn = pdev->devfn;
		ret = flat_bus_map_copy(&guard->bus_map, pdev);
	}
	device_unlock(&pdev->dev);
	if (ret) {
		kfree(guard);
		return ERR_PTR(ret);
	}
	mutex_init(&guard->lock);
	guard->pdev = pci_dev_get(pdev);
	list_add(&guard->entry, &guards);
	return guard;
}

/*
 * LOOKUP of existing pins uses guard->bus_map. Returns false if the function sees memory
 * differently with the driver that it has now, or if a bind or unbind is running.
 */
static bool sees_memory_as_before(const struct flat_guard *guard)
{
	struct pci_dev *pdev = guard->pdev;
	bool fits;

	if (flat_bus_map_is_plain(&guard->bus_map) && !READ_ONCE(pdev->dev.dma_range_map) &&
	    !flat_bus_limit(pdev))
		return true;
	if (!device_trylock(&pdev->dev))
		return false;
	fits = flat_bus_map_fits(&guard->bus_map, pdev);
	device_unlock(&pdev->dev);
	return fits;
}

/**
 * flat_guard_get() - get the guard of a function, for a new pin
 * @pdev:	the function
 * @stops:	the end of the pin stops the function
 *
 * Returns the guard, or an error of FLATIOMMU_PIN as an error pointer.
 */
struct flat_guard *flat_guard_get(struct pci_dev *pdev, bool stops)
{
	struct flat_guard *guard;
	int ret;

	if (flat_not_for_programs(pdev))
		return ERR_PTR(-EOPNOTSUPP);
	ret = flat_uses_bus_addresses(pdev);
	if (ret)
		return ERR_PTR(ret);
	if (stops && flat_is_anothers(pdev))
		return ERR_PTR(-EPERM);
	if (flat_locked_down(pdev))
		return ERR_PTR(-EACCES);
	mutex_lock(&guards_lock);
	guard = find_guard(pdev);
	if (!guard)
		guard = new_guard(pdev);
	else if (!sees_memory_as_before(guard))
		guard = ERR_PTR(-EBUSY);
	if (!IS_ERR(guard))
		guard->refs++;
	mutex_unlock(&guards_lock);
	return guard;
}

void flat_guard_put(struct flat_guard *guard)
{
	bool last;

	mutex_lock(&guards_lock);
	last = !--guard->refs;
	if (last)
		list_del(&guard->entry);
	mutex_unlock(&guards_lock);
	if (!last)
		return;
	WARN_ON_ONCE(guard->pins);
	flat_bus_map_drop(&guard->bus_map);
	pci_dev_put(guard->pdev);
	kfree(guard);
}

/* Longest wait for device_lock(), in a close for all its functions together. */
#define LOCK_WAIT HZ

/* An unbind may hold device_lock() until the program whose file is closed here has ended. */
static bool lock_for_a_while(struct device *dev, unsigned long until)
{
	while (!device_trylock(dev)) {
		if (!time_before(jiffies, until))
			return false;
		msleep(20);
	}
	return true;
}

/*
 * Leave a function alone if a kernel driver has it now. dev->driver is set before probe(), and
 * stays set while an unbind waits in remove(), so this test covers both.
 */
static bool is_for_user_space(struct pci_dev *pdev)
{
	struct device_driver *driver;
	bool is;

	/*
	 * Without device_lock() the unbind may end now, and the driver's module be unloaded. The
	 * unload waits for RCU before it frees the driver.
	 */
	rcu_read_lock();
	driver = READ_ONCE(pdev->dev.driver);
	is = !driver || to_pci_driver(driver)->driver_managed_dma || strstr(driver->name, "uio");
	rcu_read_unlock();
	return is;
}

static void stop_dma(struct pci_dev *pdev)
{
	if (flat_stop(pdev))
		pr_notice("%s: bus mastering is cleared, as %s[%d] lets go of memory that was pinned for it\n",
			  pci_name(pdev), current->comm, task_tgid_nr(current));
	/* Wait also if the program had just cleared bus mastering. PCIe 6.0 section 7.5.3.5. */
	if (flat_answers(pdev) && !pci_wait_for_pending_transaction(pdev))
		pr_warn("%s: transactions are still pending\n", pci_name(pdev));
}

static void quiesce(struct flat_guard *guard, unsigned long until)
{
	struct pci_dev *pdev = guard->pdev;
	bool locked;

	lockdep_assert_held(&guard->lock);
	guard->owes = false;
	/* flat_guard_end() has stopped it, and another function may be at its address now. */
	if (guard->ended)
		return;
	locked = lock_for_a_while(&pdev->dev, until);
	if (is_for_user_space(pdev)) {
		/*
		 * Wake the function up. Without a driver it may be doing DMA although runtime PM
		 * has suspended it. With one it may do so as soon as VFIO wakes it up.
		 */
		pm_runtime_get_sync(&pdev->dev);
		stop_dma(pdev);
		pm_runtime_put(&pdev->dev);
	}
	if (locked)
		device_unlock(&pdev->dev);
}

/* Counts a pin: a program is about to learn of it. */
void flat_guard_pinned(struct flat_guard *guard)
{
	mutex_lock(&guard->lock);
	guard->pins++;
	WRITE_ONCE(guard->quiet, false);
	mutex_unlock(&guard->lock);
}

/**
 * flat_guard_unpinned() - uncount a pin whose memory is about to be given back
 * @guard:	the function's guard
 * @stop:	stop the function if this was its last pin
 *
 * Without @stop, the function's last pin stops it all the same
 * - if pins with @stop have ended while others were counted, and it was not stopped since;
 * - if files hold pins for it.
 *
 * Returns whether files hold pins that have waited for this stop.
 */
bool flat_guard_unpinned(struct flat_guard *guard, bool stop)
{
	bool held = false;

	mutex_lock(&guard->lock);
	WARN_ON_ONCE(!guard->pins);
	if (--guard->pins) {
		guard->owes |= stop;
	} else {
		held = atomic_long_read(&guard->held);
		if (stop || held || guard->owes) {
			quiesce(guard, jiffies + LOCK_WAIT);
			/* Pairs with flat_guard_is_quiet(). */
			smp_store_release(&guard->quiet, true);
		}
	}
	mutex_unlock(&guard->lock);
	return held;
}

/* Counts a pin that a file holds. Call it before flat_guard_unpinned() for that pin. */
void flat_guard_hold(struct flat_guard *guard)
{
	atomic_long_inc(&guard->held);
}

/* Undoes flat_guard_hold(). */
void flat_guard_unhold(struct flat_guard *guard)
{
	WARN_ON_ONCE(atomic_long_dec_return(&guard->held) < 0);
}

/*
 * Was the function stopped at the end of its last pin? Then memory of pins that ended before may be
 * given back. Needs no lock.
 */
bool flat_guard_is_quiet(const struct flat_guard *guard)
{
	/* Pairs with flat_guard_unpinned(). */
	return smp_load_acquire(&guard->quiet);
}

/* Begins the close of a file, for flat_guard_close(). */
void flat_guard_new_close(struct flat_closing *closing)
{
	static atomic64_t last;

	closing->number = atomic64_inc_return(&last);
	closing->until = jiffies + LOCK_WAIT;
}

/* Stops the function once in each close of a file that has pins for it. */
void flat_guard_close(struct flat_guard *guard, const struct flat_closing *closing)
{
	mutex_lock(&guard->lock);
	if (guard->closing != closing->number)
		quiesce(guard, closing->until);
	guard->closing = closing->number;
	mutex_unlock(&guard->lock);
}

/* Was flat_guard_end() called? If so, no memory is pinned for the function any more. */
bool flat_guard_has_ended(const struct flat_guard *guard)
{
	return READ_ONCE(guard->ended);
}

/**
 * flat_guard_end() - end the guard of a function that is about to leave the bus
 * @pdev:	the function; it has no driver, and flat_function_is_going() is true
 *
 * Stops the function now, because it cannot be reached any more when its pins end.
 */
void flat_guard_end(struct pci_dev *pdev)
{
	struct flat_guard *guard;

	mutex_lock(&guards_lock);
	guard = find_guard(pdev);
	if (guard) {
		list_del_init(&guard->entry);
		guard->refs++;
	}
	mutex_unlock(&guards_lock);
	if (!guard)
		return;
	mutex_lock(&guard->lock);
	quiesce(guard, jiffies + LOCK_WAIT);
	WRITE_ONCE(guard->ended, true);
	mutex_unlock(&guard->lock);
	flat_guard_put(guard);
}
