/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_GUARD_H
#define FLATIOMMU_GUARD_H

#include <linux/list.h>
#include <linux/types.h>

#include "busmap.h"

struct pci_dev;

/**
 * struct flat_guard - a function that memory is pinned for
 * @entry:	in the list of guards; guards_lock
 * @pdev:	the function; a reference is held
 * @bus_map:	how it sees memory
 * @pins:	that name it; guards_lock
 * @closing:	the last close that has quiesced it; guards_lock
 */
struct flat_guard {
	struct list_head entry;
	struct pci_dev *pdev;
	struct flat_bus_map bus_map;
	unsigned long pins;
	u64 closing;
};

struct flat_guard *flat_guard_get(struct pci_dev *pdev);
void flat_guard_put(struct flat_guard *guard, bool stop);
u64 flat_guard_new_close(void);
void flat_guard_close(struct flat_guard *guard, u64 closing);

#endif /* FLATIOMMU_GUARD_H */
