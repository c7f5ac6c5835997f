/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flatiommu: an IOMMU whose map is flat, that is, the IOVA is the bus address.
 *
 * A claim is the dummy IOMMU and the group of a PCI function (claim.c, claimed.c, ops.c).
 * A domain is an I/O address space: the extents that are mapped in it, and the claims whose
 * functions are attached to it (domain.c, extent.c, attach.c).
 */
#ifndef FLATIOMMU_H
#define FLATIOMMU_H

#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/ratelimit.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "busmap.h"
#include "extent.h"
#include "hold.h"

struct flat_history;
struct flat_options;
struct mm_struct;

/* The domain that a claimed function's DMA goes through. */
enum flat_attachment {
	FLAT_IDENTITY,		/* a kernel driver or none is bound: all of memory */
	FLAT_BLOCKED,		/* user space has the function, without a mapping */
	FLAT_PAGING,		/* user space has the function, with a paging domain */
};

/**
 * struct flat_wc_bar - a BAR that a claim has made write-combined
 * @alias:	the mapping that makes it write-combined, or NULL
 * @start:	address of the BAR at the claim
 * @size:	bytes
 */
struct flat_wc_bar {
	void __iomem *alias;
	resource_size_t start;
	resource_size_t size;
};

/**
 * struct flat_claim - the dummy IOMMU and the group of a PCI function
 * @entry:	in the list of claims, of retired claims or of spare claims; flat_claims_lock
 * @of:		in the table of claims by function, while @entry is in the list of claims;
 *		flat_claims_lock
 * @pdev:	the function; a reference is held
 * @iommu:	the dummy IOMMU
 * @group:	the function's group; a reference is held, and dropped with no lock held (claim.c).
 *		Written when the core probes the function, under flat_claims_lock
 * @probed:	the core has given @iommu to @pdev. Written when the core probes or releases the
 *		function; flat_claims_lock or the function's removal serialises these
 * @attachment:	the current one. Written under flat_attach_lock when the core attaches or releases
 *		the function; the core serialises these
 * @owner:	the address space of the program that took the function over, or NULL; a reference
 *		is held. flat_attach_lock
 * @judged:	flat_may_take_over() has allowed the take-over, and is not called again until the
 *		take-over ends. Written when the core attaches or releases the function; the core
 *		serialises these
 * @suspect:	since the claim, a program that may not take the function over has tried to do so
 *		through iommufd: see may_be_reset()
 * @binder:	the task that is binding a driver to the function, or NULL. Only compared
 * @doorbell:	address of the page that the function's MSIs are written to, or 0: it has no MSIs,
 *		or this machine has none for it. Written under flat_claims_lock, before a driver
 *		that gives functions to programs is probed
 * @paused:	the function was stopped when it was blocked. The next attach to @domain starts it
 *		again if nothing was unmapped meanwhile, see @unmaps; flat_attach_lock
 * @unmaps:	@domain's count of unmaps when the function was paused; flat_attach_lock
 * @domain:	the function's domain. Kept while the function is FLAT_BLOCKED, so that it returns
 *		to the same domain after a reset. NULL once the domain is freed; flat_attach_lock
 * @attached:	in @domain->claims; flat_attach_lock
 * @declarations: declarations for the function; flat_attach_lock
 * @wc:		BARs that the claim has made write-combined; flat_claims_lock
 * @hold:	option of the claim, see struct flat_options
 * @fence:	as @hold
 * @history:	the latest events, or NULL; a reference is held
 */
struct flat_claim {
	struct list_head entry;
	struct hlist_node of;
	struct pci_dev *pdev;
	struct iommu_device iommu;
	struct iommu_group *group;
	bool probed;
	enum flat_attachment attachment;
	struct mm_struct *owner;
	bool judged;
	bool suspect;
	struct task_struct *binder;
	u64 doorbell;
	bool paused;
	u64 unmaps;
	struct flat_domain *domain;
	struct list_head attached;
	struct list_head declarations;
	struct flat_wc_bar wc[PCI_STD_NUM_BARS];
	bool hold;
	bool fence;
	struct flat_history *history;
};

/* Long enough for "0000:00:04.0", and for PCI segments of VMD, which have five or more digits. */
#define FLAT_NAME_LEN 24

/**
 * struct flat_hole - IOVAs at which there was neither memory nor a window
 * @first:	first IOVA
 * @last:	last IOVA
 * @until:	when to look again, in jiffies
 */
struct flat_hole {
	u64 first;
	u64 last;
	unsigned long until;
};

/**
 * struct flat_domain - a paging domain
 *
 * A domain may outlive its claims, its functions and the process that made it (an iommufd HWPT
 * lives until its file descriptor is closed). So it holds a reference to the module, and points to
 * claims only through @claims, which a claim leaves before it ends.
 *
 * @domain:	the IOMMU core's part
 * @refs:	one of the core, one of each pin with FLATIOMMU_PIN_VFIO, one of each attachment to
 *		a dma-buf that is about to end, and one of each LOOKUP or QUIET that uses the domain
 * @claims:	claims whose @domain this is; flat_attach_lock
 * @nr_hold:	number of @claims that have the option hold. Written under flat_attach_lock
 * @nr_fence:	number of @claims that have the option fence. Written under flat_attach_lock
 * @declared_mm: the address space that had declared all functions when flat_all_declared() last
 *		returned true; only compared. @lock
 * @declared_at: count of changes at that moment, see flat_was_declared(); @lock
 * @name:	address of its first function, for the log; written as @bus_map
 * @bus_map:	how its functions see memory; written once under @lock, see flat_adopt_bus_map()
 * @doorbell:	flat_doorbell() of its first function. A function with another one cannot be
 *		attached, because the core is told only one. A function without MSIs can. Written
 *		as @bus_map
 * @bus_known:	@bus_map, @doorbell and @name are set; @lock
 * @lock:	only flat_holds_lock and flat_history.lock may be taken while holding it. Do not
 *		allocate or touch user memory while holding it
 * @extents:	the maps; @lock
 * @hole:	IOVAs that look-up maps may have; @lock
 * @unmaps:	number of unmaps, and of pins that the domain has let go; @lock
 * @pins:	pins that belong to the domain, see pin.c; @lock
 * @hold:	memory that was unmapped from the domain, or unpinned, and is held
 * @histories:	histories of functions whose last attach was to this domain; flat_attach_lock and
 *		@lock
 * @ended:	the core has freed the domain; @lock
 * @lookup_mm:	the program whose look-up maps are in @extents, or NULL; a reference is held. @lock
 * @strict_mm:	the program whose bus-address maps are in @extents, or NULL; a reference is held.
 *		@lock
 * @strict_mixed: other programs have bus-address maps in @extents, too; @lock
 * @ratelimit:	limits the log lines about refused maps
 * @free_work:	frees the domain
 */
struct flat_domain {
	struct iommu_domain domain;
	refcount_t refs;
	struct list_head claims;
	unsigned int nr_hold;
	unsigned int nr_fence;
	const struct mm_struct *declared_mm;
	u64 declared_at;
	char name[FLAT_NAME_LEN];
	struct flat_bus_map bus_map;
	u64 doorbell;
	bool bus_known;
	spinlock_t lock;	/* see above */
	struct flat_extents extents;
	struct flat_hole hole;
	u64 unmaps;
	struct list_head pins;
	struct flat_hold hold;
	struct list_head histories;
	bool ended;
	struct mm_struct *lookup_mm;
	struct mm_struct *strict_mm;
	bool strict_mixed;
	struct ratelimit_state ratelimit;
	struct work_struct free_work;
};

extern const struct iommu_ops flat_iommu_ops;
extern const struct iommu_domain_ops flat_paging_ops;

/* Protects the list of claims: none is made or ends while it is held. See claim.c. */
extern struct mutex flat_claims_lock;

/* All claims; flat_claims_lock. */
extern struct list_head flat_claims;

/*
 * Protects the links between claims, domains and declarations. Taken under group->mutex. While
 * holding it, take no lock of the module except flat_domain.lock, flat_holds_lock and
 * flat_history.lock.
 */
extern spinlock_t flat_attach_lock;

/*
 * Ordered workqueue for work that must not run in the caller's context: the end of a group or of a
 * domain, and the accounting of a pin that ends in an unmap. A write to claim or release and the
 * module's exit flush it.
 */
extern struct workqueue_struct *flat_wq;

/* claim.c */
void flat_claim_start(void);
void flat_claim_exit(void);
struct flat_claim *flat_claim_being_made(struct device *dev);
int flat_claim_function(struct pci_dev *pdev, const char *how, bool binding,
			const struct flat_options *options);
int flat_release_function(struct pci_dev *pdev);
void flat_function_goes(struct device *dev);
void flat_function_gone(struct device *dev);
bool flat_function_is_going(struct pci_dev *pdev);

/* claimed.c */
void flat_list_claim(struct flat_claim *claim);
void flat_unlist_claim(struct flat_claim *claim);
struct flat_claim *flat_claim_of(struct pci_dev *pdev);
struct pci_dev *flat_claimed_with_group(int group);
int flat_uses_bus_addresses(struct pci_dev *pdev);
int flat_group_of(struct pci_dev *pdev);
bool flat_is_anothers(struct pci_dev *pdev);
bool flat_claim_holds(struct pci_dev *pdev);
struct flat_history *flat_history_of(struct pci_dev *pdev);
struct flat_history **flat_all_histories(unsigned int *n);
bool flat_stop(struct pci_dev *pdev);
void flat_claim_binds(struct pci_dev *pdev, struct task_struct *task);
void flat_claim_finds_doorbell(struct pci_dev *pdev);

/* policy.c */
int flat_may_claim(struct pci_dev *pdev, bool binding);
const char *flat_not_plain(struct pci_dev *pdev);
const char *flat_not_for_programs(struct pci_dev *pdev);
bool flat_locked_down(struct pci_dev *pdev);
bool flat_is_incoherent(struct pci_dev *pdev, const char *outcome);

/* domain.c */
struct iommu_domain *flat_domain_alloc(void);
void flat_domain_put(struct flat_domain *d);

/* doorbell.c */
u64 flat_keep_doorbell(u64 doorbell);
bool flat_is_doorbell(u64 address);
u64 flat_find_doorbell(struct pci_dev *pdev);
u64 flat_doorbell(const struct flat_claim *claim);
void flat_get_doorbell_region(const struct flat_claim *claim, struct list_head *head);

/* busmaster.c */
bool flat_answers(struct pci_dev *pdev);
bool flat_clear_master(struct pci_dev *pdev);
void flat_set_master(struct pci_dev *pdev);
void flat_wait_for_pending(struct pci_dev *pdev);

#endif /* FLATIOMMU_H */
