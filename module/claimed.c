// SPDX-License-Identifier: GPL-2.0-only
/*
 * The list of claims, and what other files need of a claimed function.
 */
#include <linux/hashtable.h>
#include <linux/iommu.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "compat.h"
#include "flatiommu.h"
#include "history.h"

DEFINE_MUTEX(flat_claims_lock);	/* see claim.c */
LIST_HEAD(flat_claims);

/* The claims by function, because a PIN searches for the claims of its functions. */
static DEFINE_HASHTABLE(claims_of, 8);

/* Number of claims that have the option hold. Written under flat_claims_lock. */
static unsigned int nr_hold;

void flat_list_claim(struct flat_claim *claim)
{
	lockdep_assert_held(&flat_claims_lock);
	list_add(&claim->entry, &flat_claims);
	hash_add(claims_of, &claim->of, (unsigned long)claim->pdev);
	WRITE_ONCE(nr_hold, nr_hold + claim->hold);
}

void flat_unlist_claim(struct flat_claim *claim)
{
	lockdep_assert_held(&flat_claims_lock);
	list_del(&claim->entry);
	hash_del(&claim->of);
	WRITE_ONCE(nr_hold, nr_hold - claim->hold);
}

/* Returns the claim of @pdev, or NULL. Caller holds flat_claims_lock. */
struct flat_claim *flat_claim_of(struct pci_dev *pdev)
{
	struct flat_claim *claim;

	lockdep_assert_held(&flat_claims_lock);
	hash_for_each_possible(claims_of, claim, of, (unsigned long)pdev)
		if (claim->pdev == pdev)
			return claim;
	return NULL;
}

/* Returns the claimed function in a group, with a reference for the caller, or NULL. */
struct pci_dev *flat_claimed_with_group(int group)
{
	struct pci_dev *pdev = NULL;
	struct flat_claim *claim;

	mutex_lock(&flat_claims_lock);
	list_for_each_entry(claim, &flat_claims, entry)
		if (iommu_group_id(claim->group) == group)
			pdev = pci_dev_get(claim->pdev);
	mutex_unlock(&flat_claims_lock);
	return pdev;
}

/**
 * flat_uses_bus_addresses() - does a function reach memory at bus addresses?
 * @pdev:	a function, claimed or not
 *
 * Returns
 * 0			yes
 * -EALREADY		no: an IOMMU translates for it
 * -EAFNOSUPPORT	no: bus addresses are not enough on this machine
 */
int flat_uses_bus_addresses(struct pci_dev *pdev)
{
	bool translated = false;

	mutex_lock(&flat_claims_lock);
	/*
	 * A group of VFIO's no-IOMMU mode has no domain. A group of a real IOMMU exists as long as
	 * the function is on the bus.
	 */
	if (!flat_claim_of(pdev) && pdev->dev.iommu_group)
		translated = iommu_get_domain_for_dev(&pdev->dev);
	mutex_unlock(&flat_claims_lock);
	if (translated)
		return -EALREADY;
	return flat_not_plain(pdev) ? -EAFNOSUPPORT : 0;
}

/* Returns the number of @pdev's group, or -1. */
int flat_group_of(struct pci_dev *pdev)
{
	struct iommu_group *group;
	int id = -1;

	/* Under the lock a claim keeps its reference, so this put is not the last one. */
	mutex_lock(&flat_claims_lock);
	group = iommu_group_get(&pdev->dev);
	if (group)
		id = iommu_group_id(group);
	iommu_group_put(group);
	mutex_unlock(&flat_claims_lock);
	return id;
}

/* Has another program than the caller taken @pdev over? */
bool flat_is_anothers(struct pci_dev *pdev)
{
	struct flat_claim *claim;
	bool is;

	mutex_lock(&flat_claims_lock);
	claim = flat_claim_of(pdev);
	spin_lock(&flat_attach_lock);
	is = claim && claim->owner && claim->owner != current->mm;
	spin_unlock(&flat_attach_lock);
	mutex_unlock(&flat_claims_lock);
	return is;
}

/* Is @pdev claimed with the option hold? */
bool flat_claim_holds(struct pci_dev *pdev)
{
	struct flat_claim *claim;
	bool holds;

	/* Mostly no claim has the option. Then a pin does not wait for the lock. */
	if (!READ_ONCE(nr_hold))
		return false;
	mutex_lock(&flat_claims_lock);
	claim = flat_claim_of(pdev);
	holds = claim && claim->hold;
	mutex_unlock(&flat_claims_lock);
	return holds;
}

/*
 * Returns the history of @pdev, which the caller puts, or an error pointer:
 * -ENOENT	it is not claimed
 * -ENODATA	it has no history
 */
struct flat_history *flat_history_of(struct pci_dev *pdev)
{
	struct flat_history *history = ERR_PTR(-ENOENT);
	struct flat_claim *claim;

	mutex_lock(&flat_claims_lock);
	claim = flat_claim_of(pdev);
	if (claim)
		history = claim->history ? : ERR_PTR(-ENODATA);
	if (!IS_ERR(history))
		refcount_inc(&history->refs);
	mutex_unlock(&flat_claims_lock);
	return history;
}

/*
 * Returns an array of the histories of all claimed functions, and sets *@n to its length, or
 * returns -ENOMEM as an error pointer. The caller puts each history and calls kvfree() on the
 * array.
 */
struct flat_history **flat_all_histories(unsigned int *n)
{
	struct flat_history **all;
	struct flat_claim *claim;
	unsigned int room = 0;

	mutex_lock(&flat_claims_lock);
	list_for_each_entry(claim, &flat_claims, entry)
		room++;
	all = kvmalloc_array(room, sizeof(*all), GFP_KERNEL_ACCOUNT);
	*n = 0;
	list_for_each_entry(claim, &flat_claims, entry) {
		if (!all || !claim->history)
			continue;
		refcount_inc(&claim->history->refs);
		all[(*n)++] = claim->history;
	}
	mutex_unlock(&flat_claims_lock);
	return all ? : ERR_PTR(-ENOMEM);
}

/* Stops @pdev, so that no attach starts it again. Returns whether it could do DMA until now. */
bool flat_stop(struct pci_dev *pdev)
{
	struct flat_claim *claim;
	bool cleared;

	mutex_lock(&flat_claims_lock);
	claim = flat_claim_of(pdev);
	spin_lock(&flat_attach_lock);
	if (claim)
		claim->paused = false;
	cleared = flat_clear_master(pdev);
	if (claim && cleared)
		flat_record_event(claim->history, FLATIOMMU_EVENT_STOP);
	spin_unlock(&flat_attach_lock);
	mutex_unlock(&flat_claims_lock);
	return cleared;
}

/* Records the task that is binding a driver to @pdev; NULL when the bind is over. */
void flat_claim_binds(struct pci_dev *pdev, struct task_struct *task)
{
	struct flat_claim *claim;

	mutex_lock(&flat_claims_lock);
	claim = flat_claim_of(pdev);
	if (claim)
		WRITE_ONCE(claim->binder, task);
	mutex_unlock(&flat_claims_lock);
}

/*
 * Finds the doorbell of a claimed function whose driver is about to bind: from then on the
 * function is the driver's. Caller holds device_lock().
 */
void flat_claim_finds_doorbell(struct pci_dev *pdev)
{
	struct flat_claim *claim;
	u64 doorbell;
	bool claimed;

	if (!flat_compat_needs_doorbell() || !to_pci_driver(pdev->dev.driver)->driver_managed_dma)
		return;
	mutex_lock(&flat_claims_lock);
	claimed = flat_claim_of(pdev);
	mutex_unlock(&flat_claims_lock);
	if (!claimed)
		return;
	doorbell = flat_find_doorbell(pdev);
	mutex_lock(&flat_claims_lock);
	claim = flat_claim_of(pdev);
	if (claim)
		WRITE_ONCE(claim->doorbell, flat_keep_doorbell(doorbell));
	mutex_unlock(&flat_claims_lock);
}
