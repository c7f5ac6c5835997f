/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_PIN_H
#define FLATIOMMU_PIN_H

#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "hold.h"
#include "pages.h"

struct flat_bus_map;
struct flat_dmabuf;
struct flat_domain;
struct flat_file;
struct flat_guard;
struct flatiommu_function;
struct flatiommu_lookup;
struct flatiommu_pin;
struct mm_struct;
struct pci_dev;

/**
 * struct flat_pin - pinned memory; the pages and functions do not change once it has its number
 * @refs:	one of the file, one of the domain or of the hold that has it, and one of each
 *		look-up that is running
 * @mm:		the program whose RLIMIT_MEMLOCK it counts against; a reference to the struct is
 *		held
 * @vaddr:	address of the first byte in that program, or its offset in the dma-buf
 * @length:	bytes
 * @writable:	the functions may write to it
 * @stops:	the functions are stopped before the memory is given back
 * @told:	the program was told the pin's number; xa_lock(&file->pins)
 * @recorded:	the functions' histories have it; no lock, see below
 * @counted:	the guards count it; with a domain: a program may know of it. No lock, see below
 * @nr_accounted: pages that are accounted to @mm; flat_holds_lock, while it is in a hold
 * @pages:	the memory
 * @dmabuf:	the attachment that keeps @pages in place if they are of a dma-buf, else NULL. The
 *		kernel memory of the attachment is accounted, also while the pin is held
 * @domain:	the domain that the pin belongs to, or belonged to until its end, with a reference;
 *		NULL: the pin has guards
 * @of_domain:	in @domain->pins; @domain->lock
 * @held:	the program has unpinned it, and it is or was held; no lock, see below
 * @unpinned:	links the pin into a hold, after UNPIN with hold; flat_holds_lock
 * @unaccount:	see flat_pin_put_in_unmap()
 * @nr_guards:	length of @guards
 * @guards:	one for each function
 *
 * @recorded, @counted and @held need no lock, because one task at a time uses them: PIN until it
 * has told the number, then the task that ends the pin, and at last the task that drops the last
 * reference.
 */
struct flat_pin {
	refcount_t refs;
	struct mm_struct *mm;
	u64 vaddr;
	u64 length;
	bool writable;
	bool stops;
	bool told;
	bool recorded;
	bool counted;
	unsigned long nr_accounted;
	struct flat_pages pages;
	struct flat_dmabuf *dmabuf;
	struct flat_domain *domain;
	struct list_head of_domain;
	bool held;
	struct flat_held unpinned;
	struct work_struct unaccount;
	unsigned int nr_guards;
	struct flat_guard *guards[];
};

/* Returns the pin that @item is a member of. Caller has checked item->is_pin. */
static inline struct flat_pin *flat_pin_of(struct flat_held *item)
{
	return container_of(item, struct flat_pin, unpinned);
}

/* pin.c */
int flat_pin(struct flat_file *f, struct flatiommu_pin *arg);
void flat_end_pin(struct flat_file *f, u32 id, bool told);
void flat_pin_put(struct flat_pin *p);
void flat_pin_put_in_unmap(struct flat_pin *p);
void flat_pin_destroy(struct flat_pin *p, bool stop);
bool flat_pin_uncount(struct flat_pin *p, bool stop);
void flat_pin_record(const struct flat_pin *p, u32 type);
bool flat_pin_is_quiet(const struct flat_pin *p);
bool flat_pin_is_for(const struct flat_pin *p, struct pci_dev **pdevs, unsigned int n);

/* unpin.c */
int flat_unpin(struct flat_file *f, u32 id);
void flat_unpin_all(struct flat_file *f);
void flat_let_pins_go(struct flat_domain *d);
void flat_pin_let_go(struct flat_pin *p, bool hold);
void flat_stop_pins(const struct flat_lot *lot);

/* tell.c */
int flat_tell_pin(const struct flat_pin *p, const struct flat_bus_map *map,
		  struct flatiommu_lookup *arg);
int flat_lookup_pin(struct flat_file *f, struct flatiommu_lookup *arg);

#endif /* FLATIOMMU_PIN_H */
