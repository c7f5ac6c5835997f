/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_HISTORY_H
#define FLATIOMMU_HISTORY_H

#include <linux/flatiommu.h>
#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct flat_domain;
struct flat_file;
struct flat_pages;
struct pci_dev;

/**
 * struct flat_history - the latest events of a claimed function
 * @refs:	one of the claim, and one of each call that reads the history or records a pin in it
 * @of_domain:	in @domain->histories; flat_attach_lock and @domain->lock
 * @domain:	the domain that the function was attached to last, or NULL once that is freed. It
 *		stays after a detach, because VFIO unmaps after that. flat_attach_lock
 * @function:	address of the function
 * @size:	length of @events
 * @lock:	may be taken under any other lock of the module, and no lock under it
 * @next:	number of the next event, from 0 at the claim; @lock
 * @at:		@next modulo @size; @lock
 * @events:	the latest events, a ring; @lock
 */
struct flat_history {
	refcount_t refs;
	struct list_head of_domain;
	struct flat_domain *domain;
	struct flatiommu_function function;
	unsigned int size;
	spinlock_t lock;	/* see above */
	u64 next;
	unsigned int at;
	struct flatiommu_event events[];
};

struct flat_history *flat_history_new(struct pci_dev *pdev);
void flat_history_put(struct flat_history *history);
void flat_history_join(struct flat_history *history, struct flat_domain *d);
void flat_history_leave(struct flat_history *history);

void flat_record_event(struct flat_history *history, u32 type);
void flat_record_in_all(struct list_head *histories, u32 type, u64 at, u64 address, u64 length);
void flat_record_pages(struct flat_domain *d, u32 type, u64 vaddr, const struct flat_pages *pages);
void flat_record_pages_of(struct pci_dev *pdev, u32 type, u64 vaddr,
			  const struct flat_pages *pages);

int flat_read_history(struct flat_file *f, struct flatiommu_history *arg);
int flat_read_who(struct flat_file *f, struct flatiommu_who *arg);

/* Records an event in each of a domain's @histories. Caller holds the domain's lock. */
static inline void flat_record(struct list_head *histories, u32 type, u64 at, u64 address,
			       u64 length)
{
	if (!list_empty(histories))
		flat_record_in_all(histories, type, at, address, length);
}

#endif /* FLATIOMMU_HISTORY_H */
