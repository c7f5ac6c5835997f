/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_HOLD_H
#define FLATIOMMU_HOLD_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct flat_domain;
struct flat_extent;
struct flat_file;
struct flat_pin;
struct flatiommu_quiet;
struct mm_struct;

/* Maximum number of steps of a walk, or of items, in one critical section. */
#define FLAT_HELD_AT_ONCE 256

/**
 * struct flat_held - memory that was unmapped or unpinned, and is held
 * @entry:	in the items of a hold or of a lot
 * @is_pin:	this is a member of a struct flat_pin, else of a struct flat_extent
 */
struct flat_held {
	struct list_head entry;
	bool is_pin;
};

/**
 * struct flat_hold - memory that is held of a domain, or of the pins of a file; flat_holds_lock
 * @entry:	in the list of holds, while it has items
 * @domain:	the domain, or NULL: it is a file's
 * @is_mark:	it holds nothing: it marks how far a walk through the list has come
 * @items:	list of struct flat_held, oldest first
 * @walked:	while a walk goes through @items: items that the walk has passed. They are older
 *		than those in @items
 * @bytes:	bytes in both lists
 * @pages:	pages in both lists, except those of pins of dma-bufs, and of pins that another
 *		program has made
 * @mm:		the program that has unmapped or unpinned the items, or did so last, or NULL; a
 *		reference to the struct is held
 * @mixed:	other programs have unmapped or unpinned some of the items
 * @accounted:	pages that are accounted to @mm
 */
struct flat_hold {
	struct list_head entry;
	struct flat_domain *domain;
	bool is_mark;
	struct list_head items;
	struct list_head walked;
	u64 bytes;
	unsigned long pages;
	struct mm_struct *mm;
	bool mixed;
	unsigned long accounted;
};

/**
 * struct flat_lot - items on the way from a hold back to the kernel
 * @domain:	the hold's domain, which exists until the lot ends, or NULL
 * @items:	list of struct flat_held
 * @bytes:	bytes in @items
 * @mm:		the program that @accounted is for, or NULL; a reference to the struct is held
 * @accounted:	pages that are accounted to @mm
 */
struct flat_lot {
	struct flat_domain *domain;
	struct list_head items;
	u64 bytes;
	struct mm_struct *mm;
	unsigned long accounted;
};

/* See hold.c. The functions below take these locks themselves, except those called *_locked. */
extern spinlock_t flat_holds_lock;
extern struct mutex flat_walk_lock;
extern struct list_head flat_holds;

void flat_hold_init(struct flat_hold *hold, struct flat_domain *domain);
void flat_hold_end(struct flat_hold *hold);

void flat_hold_extents(struct flat_domain *d, struct flat_extent *gone);
struct mm_struct *flat_hold_pin(struct flat_hold *hold, struct flat_pin *p);
void flat_hold_quiet_pins(void);

void flat_hold_limit_domain(struct flat_domain *d);
void flat_hold_limit_file(struct flat_file *f);
void flat_hold_take(struct flat_hold *hold, struct flat_lot *lot);
void flat_hold_take_locked(struct flat_hold *hold, struct flat_lot *lot);
void flat_hold_move_pin_locked(struct flat_hold *hold, struct flat_pin *p, struct flat_lot *lot);
void flat_lot_init(struct flat_lot *lot, struct flat_domain *domain);
void flat_lot_end(struct flat_lot *lot, bool at_limit);

int flat_quiet(struct flat_file *f, struct flatiommu_quiet *arg);

ssize_t flat_held_show(char *buf);
ssize_t flat_held_released_show(char *buf);
void flat_hold_exit(void);

#endif /* FLATIOMMU_HOLD_H */
