/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_GUARD_H
#define FLATIOMMU_GUARD_H

#include <linux/flatiommu.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include "busmap.h"

struct pci_dev;

/**
 * struct flat_guard - a function that memory is pinned for
 * @entry:	in the list of guards until the function goes; guards_lock
 * @refs:	pins, also those that are being made; guards_lock
 * @pdev:	the function; a reference is held, but it may have been removed
 * @ended:	it goes, or has gone: the memory is not pinned for it any more; written under @lock
 * @name:	its address, as programs write it
 * @bus_map:	how it sees memory
 * @lock:	held while the function is stopped, which no pin that is told of meanwhile sees
 * @pins:	that a program knows of; @lock
 * @closing:	the number of the last close of a file that has stopped the function; @lock
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
	u64 closing;
};

/**
 * struct flat_closing - a close of a file that has pins
 * @number:	of it
 * @until:	when to wait for no function's lock any more, in jiffies
 */
struct flat_closing {
	u64 number;
	unsigned long until;
};

struct flat_guard *flat_guard_get(struct pci_dev *pdev, bool stops);
void flat_guard_put(struct flat_guard *guard);
void flat_guard_pinned(struct flat_guard *guard);
void flat_guard_unpinned(struct flat_guard *guard, bool stop);
void flat_guard_new_close(struct flat_closing *closing);
void flat_guard_close(struct flat_guard *guard, const struct flat_closing *closing);
bool flat_guard_has_ended(const struct flat_guard *guard);
void flat_guard_end(struct pci_dev *pdev);

#endif /* FLATIOMMU_GUARD_H */
