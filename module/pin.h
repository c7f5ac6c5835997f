/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_PIN_H
#define FLATIOMMU_PIN_H

#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/types.h>

#include "hold.h"
#include "pages.h"

struct flat_bus_map;
struct flat_domain;
struct flat_file;
struct flat_guard;
struct flatiommu_function;
struct flatiommu_lookup;
struct flatiommu_pin;
struct mm_struct;

/**
 * struct flat_pin - pinned memory; does not change once it has its number
 * @refs:	the file's, the domain's or that of what holds it, and one for each look-up that is
 *		running
 * @mm:		the program whose RLIMIT_MEMLOCK it counts against; a reference to the struct is
 *		held
 * @vaddr:	address of the first byte in that program
 * @length:	bytes
 * @writable:	the functions may write to it
 * @stops:	the functions are stopped before the memory is given back
 * @told:	the program was told the pin's number; xa_lock(&file->pins)
 * @recorded:	the functions' histories have it
 * @counted:	the guards count it; with a domain: a program may know of it
 * @nr_accounted: pages that were accounted to @mm
 * @pages:	the memory
 * @domain:	the domain that holds the pin, or held it until its end; a reference is held.
 *		NULL: the pin has guards
 * @held:	in @domain->pins; @domain->lock
 * @unpinned:	the program has unpinned it, and it is held
 * @nr_guards:	length of @guards
 * @guards:	the functions
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
	struct flat_domain *domain;
	struct list_head held;
	struct flat_held unpinned;
	unsigned int nr_guards;
	struct flat_guard *guards[];
};

/* pin.c */
int flat_pin(struct flat_file *f, struct flatiommu_pin *arg);
void flat_end_pin(struct flat_file *f, u32 id, bool told);
int flat_unpin(struct flat_file *f, u32 id);
void flat_unpin_all(struct flat_file *f);
void flat_let_pins_go(struct flat_domain *d);
void flat_pin_put(struct flat_pin *p);
bool flat_pin_is_quiet(const struct flat_pin *p);
void flat_stop_pins(const struct flat_lot *lot);
int flat_lookup_pin(struct flat_file *f, struct flatiommu_lookup *arg);

/* tell.c */
int flat_tell_pin(const struct flat_pin *p, const struct flat_bus_map *map,
		  struct flatiommu_lookup *arg);
const struct flat_bus_map *flat_map_of_pin(struct flat_file *f, struct flat_pin *p,
					   const struct flatiommu_function *name);

#endif /* FLATIOMMU_PIN_H */
