/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_GUARD_H
#define FLATIOMMU_GUARD_H

#include <linux/atomic.h>
#include <linux/flatiommu.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include "busmap.h"

struct pci_dev;

/**
 * struct flat_guard - the object for a function that has pins
 * @entry:	in the list of guards until the function goes; guards_lock
 * @refs:	one of each pin, also while the pin is being made, and one of each ALLOC that is
 *		running; guards_lock
 * @pdev:	the function; a reference is held, but it may have been removed
 * @ended:	the function is being removed, or was: no memory is pinned for it any more.
 *		Written under @lock
 * @name:	the function's address, to compare with that of a LOOKUP
 * @bus_map:	how the function sees memory
 * @lock:	held while the function is being stopped, so that a program learns of a new pin
 *		either before the stop or after it
 * @pins:	number of pins that a program may know of; @lock
 * @owes:	a pin has ended while there were others, and the function was not stopped since;
 *		@lock
 * @held:	number of pins that were unpinned, and that files hold
 * @quiet:	the function was stopped when the last pin ended, and no program knows of a new
 *		one. Written under @lock
 * @closing:	number of the last close of a file that has stopped the function; @lock
 */
struct flat_guard {
	struct list_head entry;
	unsigned long refs;
	struct pci_dev *pdev;
	bool ended;
	struct flatiommu_function name;
	struct flat_bus_map bus_map;
	struct mutex lock;	/* see above */
	unsigned long pins;
	bool owes;
	atomic_long_t held;
	bool quiet;
	u64 closing;
};

/**
 * struct flat_closing - the close of a file that has pins
 * @number:	unique number of this close
 * @until:	when to stop waiting for the functions' locks, in jiffies
 */
struct flat_closing {
	u64 number;
	unsigned long until;
};

struct flat_guard *flat_guard_get(struct pci_dev *pdev, bool stops);
void flat_guard_put(struct flat_guard *guard);
void flat_guard_pinned(struct flat_guard *guard);
bool flat_guard_unpinned(struct flat_guard *guard, bool stop);
void flat_guard_hold(struct flat_guard *guard);
void flat_guard_unhold(struct flat_guard *guard);
void flat_guard_new_close(struct flat_closing *closing);
void flat_guard_close(struct flat_guard *guard, const struct flat_closing *closing);
bool flat_guard_is_quiet(const struct flat_guard *guard);
bool flat_guard_has_ended(const struct flat_guard *guard);
void flat_guard_end(struct pci_dev *pdev);

#endif /* FLATIOMMU_GUARD_H */
