/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_HOLD_H
#define FLATIOMMU_HOLD_H

#include <linux/compiler.h>
#include <linux/list.h>
#include <linux/types.h>

#include "choice.h"

struct flat_domain;
struct flat_extent;
struct flat_file;
struct flat_pin;
struct flatiommu_quiet;
struct mm_struct;

/**
 * struct flat_held - memory that was unmapped or unpinned, and is held
 * @entry:	in the items of a hold or of a lot
 * @is_pin:	the end of a struct flat_pin, else that of a struct flat_extent
 */
struct flat_held {
	struct list_head entry;
	bool is_pin;
};

/**
 * struct flat_hold - what is held of a domain, or of the pins of a file; holds_lock
 * @entry:	in the list of holds
 * @items:	struct flat_held, oldest first
 * @bytes:	of @items
 * @pages:	of @items, without pins that another program has made
 * @mm:		the program that has unmapped or unpinned all of it, or NULL; a reference to the
 *		struct is held
 * @mixed:	other programs have, too
 * @accounted:	pages that are accounted to @mm
 */
struct flat_hold {
	struct list_head entry;
	struct list_head items;
	u64 bytes;
	unsigned long pages;
	struct mm_struct *mm;
	bool mixed;
	unsigned long accounted;
};

/**
 * struct flat_lot - what a hold has given up, and is about to be given back
 * @items:	struct flat_held
 * @bytes:	of @items
 * @mm:		the program that @accounted is for, or NULL; a reference to the struct is held
 * @accounted:	pages
 */
struct flat_lot {
	struct list_head items;
	u64 bytes;
	struct mm_struct *mm;
	unsigned long accounted;
};

extern struct flat_choice flat_on_unmap;

/* Is memory held from its unmap or unpin on? */
static inline bool flat_holding(void)
{
	return unlikely(flat_chose_other(&flat_on_unmap));
}

void flat_hold_init(struct flat_hold *hold);
void flat_hold_end(struct flat_hold *hold);

void flat_hold_extents(struct flat_hold *hold, struct flat_extent *gone);
void flat_hold_pin(struct flat_hold *hold, struct flat_pin *p);
void flat_hold_quiet_pins(struct flat_hold *hold);

void flat_hold_limit_domain(struct flat_domain *d);
void flat_hold_limit_file(struct flat_file *f);
void flat_hold_take(struct flat_hold *hold, struct flat_lot *lot);
void flat_lot_end(struct flat_lot *lot, bool at_limit);

int flat_quiet(struct flat_file *f, struct flatiommu_quiet *arg);

ssize_t flat_held_show(char *buf);
ssize_t flat_held_released_show(char *buf);
void flat_hold_exit(void);

#endif /* FLATIOMMU_HOLD_H */
