// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doorbell: the page of the interrupt controller that MSIs are written to. From 6.15 on the
 * kernel maps it for a function that a program has, and type1 chooses the IOVA: a region that the
 * function's IOMMU has reserved for that. Here the IOVA must be the bus address, so the region is
 * the doorbell itself.
 */
#include <linux/iommu.h>
#include <linux/msi.h>
#include <linux/pci.h>
#include <linux/pm_runtime.h>

#include "compat.h"
#include "flatiommu.h"

/*
 * The doorbells that were found. A machine has one for each interrupt controller, so they are few,
 * and none is removed from the array. Written under flat_claims_lock, and read without a lock,
 * because maps are made under locks of the IOMMU core. 0 ends the list.
 */
static u64 doorbells[64];

/**
 * flat_keep_doorbell() - make a doorbell known to flat_is_doorbell()
 * @doorbell:	its address, or 0
 *
 * Returns @doorbell, or 0 if there is no room for it.
 */
u64 flat_keep_doorbell(u64 doorbell)
{
	unsigned int i;

	lockdep_assert_held(&flat_claims_lock);
	for (i = 0; doorbell && i < ARRAY_SIZE(doorbells); i++) {
		if (!doorbells[i])
			WRITE_ONCE(doorbells[i], doorbell);
		if (doorbells[i] == doorbell)
			return doorbell;
	}
	return 0;
}

/* Is @address a doorbell that was found? Needs no lock. */
bool flat_is_doorbell(u64 address)
{
	unsigned int i;

	for (i = 0; address && i < ARRAY_SIZE(doorbells); i++)
		if (READ_ONCE(doorbells[i]) == address)
			return true;
	return false;
}

static bool has_msis(const struct pci_dev *pdev)
{
	return pdev->msi_cap || pdev->msix_cap;
}

/* Allocates a vector to read its message, and frees it. No driver or program uses the vector. */
static u64 doorbell_of(struct pci_dev *pdev, unsigned int type)
{
	struct msi_msg msg = { };

	if (pci_alloc_irq_vectors(pdev, 1, 1, type) != 1)
		return 0;
	get_cached_msi_msg(pci_irq_vector(pdev, 0), &msg);
	pci_free_irq_vectors(pdev);
	return ((u64)msg.address_hi << 32 | msg.address_lo) & PAGE_MASK;
}

/**
 * flat_find_doorbell() - the page that a function's MSIs are written to
 * @pdev:	the function; the caller holds its device_lock(). A driver is about to bind, but is
 *		not probed yet. The devres entries that this call leaves are freed with the driver's
 *
 * Only the interrupt controller knows the address, and writes it into the message of a vector. The
 * vectors of MSI-X are in a BAR. So to allocate a vector, this call enables the function, but not
 * its bus mastering.
 *
 * Returns the address, or 0.
 */
u64 flat_find_doorbell(struct pci_dev *pdev)
{
	u64 doorbell = 0;
	int ret;

	if (!has_msis(pdev))
		return 0;
	pm_runtime_get_sync(&pdev->dev);
	ret = pci_enable_device(pdev);
	if (!ret) {
		doorbell = doorbell_of(pdev, PCI_IRQ_MSI);
		if (!doorbell)
			doorbell = doorbell_of(pdev, PCI_IRQ_MSIX);
		pci_disable_device(pdev);
	}
	pm_runtime_put(&pdev->dev);
	if (!doorbell)
		pr_notice("%s: no MSIs for programs: this machine has no vector for it (%d)\n",
			  pci_name(pdev), ret);
	return doorbell;
}

/**
 * flat_doorbell() - the doorbell of a domain whose first function is this one
 * @claim:	the function's claim
 *
 * A function without MSIs needs none. But type1 tells the core about the doorbell of a domain only
 * once, with the first function, and one with MSIs may join later. So a function without MSIs has
 * the doorbell that was found first.
 *
 * Returns the address, or 0.
 */
u64 flat_doorbell(const struct flat_claim *claim)
{
	if (has_msis(claim->pdev))
		return READ_ONCE(claim->doorbell);
	return READ_ONCE(doorbells[0]);
}

/* For flat_get_resv_regions(). */
void flat_get_doorbell_region(const struct flat_claim *claim, struct list_head *head)
{
	u64 doorbell = flat_doorbell(claim);
	struct iommu_resv_region *region;

	if (!doorbell)
		return;
	region = iommu_alloc_resv_region(doorbell, PAGE_SIZE,
					 IOMMU_WRITE | IOMMU_NOEXEC | IOMMU_MMIO,
					 IOMMU_RESV_SW_MSI, GFP_KERNEL);
	if (region)
		list_add_tail(&region->list, head);
}
