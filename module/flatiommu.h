/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flatiommu: an IOMMU whose map is flat, that is, the IOVA is the bus address.
 *
 * One claim is one PCI function with a dummy IOMMU and a group of its own (claim.c, ops.c).
 * One domain is one address space, the extents mapped in it and the claims attached to it
 * (domain.c, extent.c).
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

struct mm_struct;

/* What the claimed function's DMA goes through now. */
enum flat_attachment {
	FLAT_IDENTITY,		/* a kernel driver, or nobody: all of memory */
	FLAT_BLOCKED,		/* user space has it, without a mapping */
	FLAT_PAGING,		/* user space has it, with a domain */
};

/**
 * struct flat_wc_bar - a BAR that is held write-combined
 * @alias:	the mapping that makes it so, or NULL
 * @start:	where the BAR was then
 * @size:	bytes
 */
struct flat_wc_bar {
	void __iomem *alias;
	resource_size_t start;
	resource_size_t size;
};

/**
 * struct flat_claim - a PCI function under a dummy IOMMU
 * @entry:	in the list of claims, or of retired ones; flat_claims_lock
 * @pdev:	the function; a reference is held
 * @iommu:	the dummy IOMMU
 * @group:	the function's group; a reference is held until no lock is (see claim.c). Written
 *		as the core probes the function, under flat_claims_lock
 * @probed:	the core has put @pdev under @iommu; written as it probes the function, or releases
 *		it, which flat_claims_lock or the function's removal serialises
 * @attachment:	see above; written under flat_attach_lock, as the core attaches or releases the
 *		function, which it never does twice at once
 * @owner:	the address space of the program that took it over, or NULL; a reference is held.
 *		flat_attach_lock
 * @judged:	whoever has it was allowed to take it over; written as @attachment
 * @suspect:	somebody who may not take it over has tried, through iommufd
 * @binder:	who binds a driver to it now, or NULL; not to be followed
 * @doorbell:	the page that its MSIs are written to, or 0; written under flat_claims_lock before a
 *		driver that gives it to programs is there
 * @paused:	its bus mastering was cleared as it was blocked, and nothing was unmapped since
 *		from @domain, as long as its count is @unmaps; flat_attach_lock
 * @unmaps:	@domain's count when the function was paused; flat_attach_lock
 * @domain:	the domain while @attachment is FLAT_PAGING, and while it is FLAT_BLOCKED after
 *		that, until the domain ends; flat_attach_lock
 * @attached:	in @domain->claims; flat_attach_lock
 * @declarations: who looks addresses up for the function; flat_attach_lock
 * @wc:		BARs that are held write-combined; flat_claims_lock
 */
struct flat_claim {
	struct list_head entry;
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
};

/* "0000:00:04.0" and the domains of VMD, which have five or more digits. */
#define FLAT_NAME_LEN 24

/**
 * struct flat_hole - IOVAs at which nothing was
 * @first:	the first one
 * @last:	the last one
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
 * It may outlive claim, function and the process that made it (an iommufd HWPT lives until its fd
 * closes), so it holds a module reference and points to none of them but through @claims.
 *
 * @domain:	what the core sees
 * @refs:	the core's, one for each pin that it holds or has held, and one for each look-up
 *		that is under way
 * @claims:	claims whose @domain this is; flat_attach_lock
 * @declared_mm: the last address space that had declared all of @claims, not to be followed; @lock
 * @declared_at: when that was so, see flat_was_declared(); @lock
 * @name:	the first function attached, for the log; written once under @lock
 * @bus_map:	how its functions see memory; written once under @lock, at the first attach
 * @doorbell:	of that one; what has another one does not share the domain, as the core is told of
 *		one alone. Written once under @lock, at the first attach
 * @bus_known:	@bus_map, @doorbell and @name are set; @lock
 * @lock:	taken over no other lock of ours; never held over an allocation or an access to user
 *		memory
 * @extents:	what is mapped; @lock
 * @hole:	IOVAs that were found good for looking up; @lock
 * @unmaps:	how often something was unmapped; @lock
 * @pins:	what it holds, see pin.c; @lock
 * @ended:	the core has freed it; @lock
 * @lookup_mm:	whose look-up maps @extents has, if any; a reference is held. @lock
 * @strict_mm:	whose maps at their bus addresses, if any; a reference is held. @lock
 * @strict_mixed: there are others' as well; @lock
 * @ratelimit:	of the log lines about refused maps
 * @free_work:	the end of it
 */
struct flat_domain {
	struct iommu_domain domain;
	refcount_t refs;
	struct list_head claims;
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
	bool ended;
	struct mm_struct *lookup_mm;
	struct mm_struct *strict_mm;
	bool strict_mixed;
	struct ratelimit_state ratelimit;
	struct work_struct free_work;
};

extern const struct iommu_ops flat_iommu_ops;
extern const struct iommu_domain_ops flat_paging_ops;

/* Protects what there is of claims: none is made or released while it is held. See claim.c. */
extern struct mutex flat_claims_lock;

/*
 * Protects what connects claims, domains and declarations. Taken under group->mutex, and over a
 * domain's lock only.
 */
extern spinlock_t flat_attach_lock;

/* What cannot be done where it falls due; ordered. Writes to release wait for it, and exit. */
extern struct workqueue_struct *flat_wq;

/* claim.c */
void flat_claim_start(void);
void flat_claim_exit(void);
struct flat_claim *flat_claim_being_made(struct device *dev);
struct flat_claim *flat_claim_of(struct pci_dev *pdev);
struct pci_dev *flat_claimed_with_group(int group);
int flat_uses_bus_addresses(struct pci_dev *pdev);
bool flat_is_anothers(struct pci_dev *pdev);
bool flat_stop(struct pci_dev *pdev);
void flat_claim_binds(struct pci_dev *pdev, struct task_struct *task);
void flat_claim_finds_doorbell(struct pci_dev *pdev);
int flat_claim_function(struct pci_dev *pdev, const char *how, bool binding,
			unsigned long wc_bars);
int flat_release_function(struct pci_dev *pdev);
void flat_function_goes(struct device *dev);
void flat_function_gone(struct device *dev);
bool flat_function_is_going(struct pci_dev *pdev);
int flat_group_of(struct pci_dev *pdev);

/* policy.c */
int flat_may_claim(struct pci_dev *pdev, bool binding);
const char *flat_not_plain(struct pci_dev *pdev);
const char *flat_not_for_programs(struct pci_dev *pdev);
bool flat_locked_down(struct pci_dev *pdev);
bool flat_is_incoherent(struct pci_dev *pdev, const char *refusal);

/* domain.c */
struct iommu_domain *flat_domain_alloc(void);
void flat_domain_put(struct flat_domain *d);
bool flat_may_take_over(struct flat_claim *claim);
void flat_pause(struct flat_claim *claim);
int flat_attach(struct flat_claim *claim, enum flat_attachment attachment,
		struct flat_domain *domain);

/* doorbell.c */
u64 flat_find_doorbell(struct pci_dev *pdev);
void flat_get_doorbell_region(const struct flat_claim *claim, struct list_head *head);

/* busmaster.c */
bool flat_answers(struct pci_dev *pdev);
bool flat_clear_master(struct pci_dev *pdev);
void flat_set_master(struct pci_dev *pdev);

#endif /* FLATIOMMU_H */
