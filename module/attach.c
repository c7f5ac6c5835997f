// SPDX-License-Identifier: GPL-2.0-only
/*
 * The attachment of functions to domains: which program may take a function over, and which domain
 * the function may be attached to.
 */
#include <linux/capability.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>

#include "attach.h"
#include "compat.h"
#include "declare.h"
#include "flatiommu.h"
#include "function.h"
#include "history.h"

DEFINE_SPINLOCK(flat_attach_lock);

/* Does @claim's function have the bus addresses of @d's functions, and their doorbell or none? */
static bool fits(const struct flat_domain *d, const struct flat_claim *claim)
{
	u64 doorbell = READ_ONCE(claim->doorbell);

	lockdep_assert_held(&d->lock);
	return flat_bus_map_fits(&d->bus_map, claim->pdev) &&
	       (!doorbell || doorbell == d->doorbell);
}

/**
 * flat_adopt_bus_map() - let a domain see memory as a function does
 * @d:		the domain
 * @claim:	the function's claim; a driver is bound to the function
 *
 * The domain's first function decides how the domain sees memory, and which doorbell the domain
 * has. It is the function that the core makes the domain for or, on kernels where the core does not
 * name it, the function that is attached first.
 *
 * Returns
 * 0		success
 * -EINVAL	the function differs from the first one; or it is the first one, its bus addresses
 *		are not CPU addresses, and @d has maps already
 * -ENOMEM	no memory
 */
int flat_adopt_bus_map(struct flat_domain *d, struct flat_claim *claim)
{
	struct flat_bus_map map;
	bool known;
	int ret;

	/* An attach to the same domain after a reset must not allocate. */
	spin_lock(&d->lock);
	known = d->bus_known;
	ret = known && !fits(d, claim) ? -EINVAL : 0;
	spin_unlock(&d->lock);
	if (known)
		return ret;

	ret = flat_bus_map_copy(&map, claim->pdev);
	if (ret)
		return ret;
	spin_lock(&d->lock);
	if (!d->bus_known &&
	    (flat_bus_map_is_plain(&map) || RB_EMPTY_ROOT(&d->extents.root))) {
		swap(d->bus_map, map);
		if (flat_compat_needs_doorbell())
			WRITE_ONCE(d->doorbell, flat_doorbell(claim));
		strscpy(d->name, pci_name(claim->pdev), sizeof(d->name));
		d->bus_known = true;
	} else if (!d->bus_known || !fits(d, claim)) {
		ret = -EINVAL;
	}
	spin_unlock(&d->lock);
	flat_bus_map_drop(&map);
	return ret;
}

/*
 * May @claim's function be attached to @d? While @d has look-up maps, only if their program has
 * declared the function. A function that is in @d already (it was blocked for a reset) always may.
 * Caller holds flat_attach_lock.
 */
static bool admits(struct flat_domain *d, struct flat_claim *claim)
{
	bool may;

	lockdep_assert_held(&flat_attach_lock);
	spin_lock(&d->lock);
	may = !d->extents.lookup || claim->domain == d ||
	      flat_is_declared(claim, d->lookup_mm);
	spin_unlock(&d->lock);
	return may;
}

/* Records an attach or a detach. Call it before @claim's fields are changed. */
static void record_attachment(const struct flat_claim *claim, enum flat_attachment attachment,
			      const struct flat_domain *domain)
{
	bool was_attached = claim->attachment == FLAT_PAGING;

	lockdep_assert_held(&flat_attach_lock);
	if (domain && (!was_attached || claim->domain != domain))
		flat_record_event(claim->history, FLATIOMMU_EVENT_ATTACH);
	else if (!domain && was_attached)
		flat_record_event(claim->history, FLATIOMMU_EVENT_DETACH);
}

/* Adds @claim to the claims of @d. The claim's options then apply to all of the domain. */
static void join(struct flat_claim *claim, struct flat_domain *d)
{
	lockdep_assert_held(&flat_attach_lock);
	list_add_tail(&claim->attached, &d->claims);
	WRITE_ONCE(d->nr_hold, d->nr_hold + claim->hold);
	WRITE_ONCE(d->nr_fence, d->nr_fence + claim->fence);
	claim->domain = d;
}

/* Removes @claim from its domain, if it has one. Caller holds flat_attach_lock. */
void flat_leave_domain(struct flat_claim *claim)
{
	struct flat_domain *d = claim->domain;

	lockdep_assert_held(&flat_attach_lock);
	if (!d)
		return;
	list_del_init(&claim->attached);
	WRITE_ONCE(d->nr_hold, d->nr_hold - claim->hold);
	WRITE_ONCE(d->nr_fence, d->nr_fence - claim->fence);
	claim->domain = NULL;
}

/**
 * flat_attach() - record a function's new attachment
 * @claim:	the function's claim
 * @attachment:	the new attachment
 * @domain:	the domain with FLAT_PAGING, else NULL
 *
 * Returns 0, or -EINVAL if the function may not share the maps of @domain.
 */
int flat_attach(struct flat_claim *claim, enum flat_attachment attachment,
		struct flat_domain *domain)
{
	struct mm_struct *old = NULL;
	int ret = 0;

	spin_lock(&flat_attach_lock);
	/* Count first: admits() then sees every map that was made with the old count. */
	flat_declared_changes();
	if (domain && !admits(domain, claim)) {
		ret = -EINVAL;
		goto unlock;
	}
	record_attachment(claim, attachment, domain);
	claim->attachment = attachment;
	if (attachment == FLAT_IDENTITY) {
		swap(claim->owner, old);
	} else if (!claim->owner && current->mm && (domain || claim->judged)) {
		/* A task that only resets the function does not become its owner. */
		claim->owner = current->mm;
		mmgrab(claim->owner);
	}
	/*
	 * A function that is blocked for a reset returns to its domain. Meanwhile it stays in the
	 * domain's list, because an unmap reads the domain's options without a lock.
	 */
	if (attachment != FLAT_BLOCKED && claim->domain != domain) {
		flat_leave_domain(claim);
		/* claim->unmaps is a count of the old domain. */
		claim->paused = false;
		if (domain)
			join(claim, domain);
	}
	if (domain && claim->history)
		flat_history_join(claim->history, domain);
unlock:
	spin_unlock(&flat_attach_lock);
	if (old)
		mmdrop(old);
	return ret;
}

/*
 * May the current task take the function over? A program that has it can make it write anywhere,
 * also without a paging domain: VFIO's cdev opens a device with the blocked domain alone.
 */
bool flat_may_take_over(struct flat_claim *claim)
{
	struct pci_dev *pdev = claim->pdev;

	if (!capable(CAP_SYS_RAWIO)) {
		pr_warn_ratelimited("%s: %s[%d] may not take it over: that needs CAP_SYS_RAWIO in the initial user namespace\n",
				    pci_name(pdev), current->comm, task_tgid_nr(current));
		return false;
	}
	return !flat_locked_down(pdev);
}

/**
 * flat_pause() - stop a function that is being blocked
 * @claim:	the function's claim
 *
 * On some kernels the query whether a function can be reset blocks the function for a moment (see
 * flat_compat_reset_blocks()). A program may be waiting for its DMA, so go_on() starts it again.
 */
void flat_pause(struct flat_claim *claim)
{
	struct flat_domain *d;
	bool cleared;

	/* One critical section: go_on() would undo a flat_stop() that ran in the middle. */
	spin_lock(&flat_attach_lock);
	cleared = flat_clear_master(claim->pdev);
	if (cleared)
		flat_record_event(claim->history, FLATIOMMU_EVENT_STOP);
	d = claim->domain;
	claim->paused = cleared && d && flat_compat_reset_blocks(claim->pdev);
	if (claim->paused) {
		spin_lock(&d->lock);
		claim->unmaps = d->unmaps;
		spin_unlock(&d->lock);
	}
	spin_unlock(&flat_attach_lock);
}

/*
 * Starts a paused function again, if nothing was unmapped from its domain meanwhile. flat_stop()
 * and unmaps need the same locks, so neither runs between the check and the start.
 */
static void go_on(struct flat_claim *claim, struct flat_domain *d)
{
	spin_lock(&flat_attach_lock);
	spin_lock(&d->lock);
	if (claim->paused && claim->unmaps == d->unmaps)
		flat_set_master(claim->pdev);
	spin_unlock(&d->lock);
	claim->paused = false;
	spin_unlock(&flat_attach_lock);
}

FLAT_ATTACH_DEV(flat_domain_attach)
{
	struct flat_claim *claim = dev_iommu_priv_get(dev);
	struct flat_domain *d = to_flat_domain(domain);
	int ret;

	/* Programs of vhost-vdpa attach a paging domain first, not the blocked one as VFIO does. */
	if (!claim->judged && !flat_may_take_over(claim))
		return -EPERM;
	ret = flat_adopt_bus_map(d, claim);
	if (ret == -EINVAL)
		pr_warn_ratelimited("%s: not attached: its bus addresses, or the page of its MSIs, differ from those of the functions that share its I/O address space\n",
				    pci_name(claim->pdev));
	if (ret)
		return ret;
	ret = flat_attach(claim, FLAT_PAGING, d);
	if (ret)
		return ret;
	claim->judged = true;
	go_on(claim, d);
	return 0;
}

/*
 * May @claim's function, which is in the list of @d, be doing DMA? VFIO's DETACH stops and blocks
 * it. A reset blocks it, too, but the core does not detach it from @d, and the kernel lets it go on
 * as before if the reset fails.
 */
static bool is_attached(const struct flat_claim *claim, const struct flat_domain *d)
{
	lockdep_assert_held(&flat_attach_lock);
	if (claim->attachment == FLAT_PAGING)
		return true;
	return flat_compat_reset_blocks(claim->pdev) &&
	       iommu_get_domain_for_dev(&claim->pdev->dev) == &d->domain;
}

/* May a function of @d be doing DMA? */
bool flat_is_attached(struct flat_domain *d)
{
	struct flat_claim *claim;
	bool is = false;

	spin_lock(&flat_attach_lock);
	list_for_each_entry(claim, &d->claims, attached)
		is |= is_attached(claim, d);
	spin_unlock(&flat_attach_lock);
	return is;
}

/*
 * Returns the domain of @pdev with a reference for the caller, or NULL if there is none, or if it
 * has a function that is not among @pdevs.
 */
struct flat_domain *flat_domain_of_only(struct pci_dev *pdev, struct pci_dev **pdevs,
					unsigned int n)
{
	struct flat_domain *d = NULL;
	struct flat_claim *claim;

	mutex_lock(&flat_claims_lock);
	claim = flat_claim_of(pdev);
	spin_lock(&flat_attach_lock);
	if (claim)
		d = claim->domain;
	if (d)
		list_for_each_entry(claim, &d->claims, attached)
			if (!flat_is_among(claim->pdev, pdevs, n)) {
				d = NULL;
				break;
			}
	/* The domain has not ended: its end begins with clearing claim->domain. */
	if (d)
		refcount_inc(&d->refs);
	spin_unlock(&flat_attach_lock);
	mutex_unlock(&flat_claims_lock);
	return d;
}
