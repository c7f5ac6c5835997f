// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dummy IOMMU as the IOMMU core sees it: one IOMMU and one group for each function, and the two
 * domains that map nothing, identity and blocked.
 *
 * probe_device() and release_device() may take no lock of the module except flat_attach_lock and
 * the locks under it. The first runs under a lock of the core, for which a claim may wait with
 * flat_claims_lock held. The second runs in iommu_device_unregister(), which the module calls with
 * flat_claims_lock held.
 */
#include <linux/dma-map-ops.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sched.h>

#include "attach.h"
#include "compat.h"
#include "flatiommu.h"

/*
 * Returns whether the IOMMU has a capability. Also sets claim->suspect if a program that may not
 * take the function over tries to do so. iommufd asks for a capability before it attaches the
 * blocked domain. A reset attaches that domain as well, but does not ask, so may_be_reset() can
 * tell them apart. VFIO's driver also asks while it is being bound, in the task that binds it or in
 * a kernel thread. That is no take-over.
 */
static bool flat_capable(struct device *dev, enum iommu_cap cap)
{
	struct flat_claim *claim = dev_iommu_priv_get(dev);

	if (cap != IOMMU_CAP_CACHE_COHERENCY)
		return false;
	if (flat_compat_reset_blocks(claim->pdev) && current != READ_ONCE(claim->binder) &&
	    !(current->flags & PF_KTHREAD) && !flat_may_take_over(claim))
		WRITE_ONCE(claim->suspect, true);
	return dev_is_dma_coherent(dev);
}

static struct iommu_device *flat_probe_device(struct device *dev)
{
	struct flat_claim *claim = flat_claim_being_made(dev);

	/* Any other error would abort the registration, no matter whose device this is. */
	if (!claim)
		return ERR_PTR(-ENODEV);
	dev_iommu_priv_set(dev, claim);
	claim->probed = true;
	return &claim->iommu;
}

static void flat_release_device(struct device *dev)
{
	struct flat_claim *claim = dev_iommu_priv_get(dev);

	claim->judged = false;
	flat_attach(claim, FLAT_IDENTITY, NULL);
	claim->probed = false;
}

/* Any program can read the name, which says that this group does not isolate. */
static struct iommu_group *flat_device_group(struct device *dev)
{
	struct flat_claim *claim = dev_iommu_priv_get(dev);
	struct iommu_group *group = generic_device_group(dev);
	int ret;

	if (IS_ERR(group))
		return group;
	ret = iommu_group_set_name(group, "flatiommu");
	if (ret) {
		iommu_group_put(group);
		return ERR_PTR(ret);
	}
	claim->group = iommu_group_ref_get(group);
	return group;
}

/* A write to the interrupt window is an interrupt and never reaches memory: Intel SDM 3, 11.11. */
static void flat_get_resv_regions(struct device *dev, struct list_head *head)
{
#ifdef CONFIG_X86
	struct iommu_resv_region *region;

	region = iommu_alloc_resv_region(0xfee00000, 0x100000, 0, IOMMU_RESV_MSI, GFP_KERNEL);
	if (region)
		list_add_tail(&region->list, head);
#endif
	if (flat_compat_needs_doorbell())
		flat_get_doorbell_region(dev_iommu_priv_get(dev), head);
}

/* Identity, so that the kernel's driver does DMA as before until the function is taken over. */
static int flat_def_domain_type(struct device *dev)
{
	return IOMMU_DOMAIN_IDENTITY;
}

static FLAT_ATTACH_DEV(flat_identity_attach)
{
	struct flat_claim *claim = dev_iommu_priv_get(dev);

	claim->judged = false;
	flat_attach(claim, FLAT_IDENTITY, NULL);
	return 0;
}

/* If the driver does not manage DMA, the core blocks its function only during a reset. */
static bool driver_manages_dma(struct pci_dev *pdev)
{
	struct device_driver *driver = READ_ONCE(pdev->dev.driver);

	return driver && to_pci_driver(driver)->driver_managed_dma;
}

/*
 * May this attach of the blocked domain be a part of a reset? A reset needs no capability, only
 * write access to the function's sysfs file. If it is a take-over, that is checked elsewhere:
 * through a group, when the paging domain is attached; through iommufd, in flat_capable().
 */
static bool may_be_reset(const struct flat_claim *claim)
{
	return flat_compat_reset_blocks(claim->pdev) && !READ_ONCE(claim->suspect);
}

/*
 * Blocked means "no mappings", not "no DMA": the program that has the function can set bus
 * mastering again. An attach restores bus mastering only on kernels where a reset blocks, see
 * flat_pause().
 */
static FLAT_ATTACH_DEV(flat_blocked_attach)
{
	struct flat_claim *claim = dev_iommu_priv_get(dev);

	if (driver_manages_dma(claim->pdev)) {
		if (claim->attachment == FLAT_IDENTITY && !may_be_reset(claim)) {
			if (!flat_may_take_over(claim))
				return -EPERM;
			claim->judged = true;
		}
		flat_pause(claim);
	}
	flat_attach(claim, FLAT_BLOCKED, NULL);
	return 0;
}

/* The core frees the static domains like others, but they live as long as the module. */
static void flat_static_free(struct iommu_domain *domain)
{
}

static struct iommu_domain flat_identity_domain = {
	.type = IOMMU_DOMAIN_IDENTITY,
	.ops = &(const struct iommu_domain_ops) {
		.attach_dev = flat_identity_attach,
		.free = flat_static_free,
	},
};

static struct iommu_domain flat_blocked_domain = {
	.type = IOMMU_DOMAIN_BLOCKED,
	.ops = &(const struct iommu_domain_ops) {
		.attach_dev = flat_blocked_attach,
		.free = flat_static_free,
	},
};

#ifdef HAVE_DOMAIN_ALLOC_PAGING
/* iommufd may map memory before the first attach, so the domain needs @dev's bus addresses now. */
static struct iommu_domain *flat_domain_alloc_paging(struct device *dev)
{
	struct iommu_domain *domain = flat_domain_alloc();
	int ret;

	/* Up to 6.10 the core does not say for which function. */
	if (IS_ERR(domain) || !dev)
		return domain;
	ret = flat_adopt_bus_map(to_flat_domain(domain), dev_iommu_priv_get(dev));
	if (ret) {
		flat_domain_put(to_flat_domain(domain));
		return ERR_PTR(ret);
	}
	return domain;
}
#else
static struct iommu_domain *flat_domain_alloc_type(unsigned int type)
{
	struct iommu_domain *domain;

	switch (type) {
	case IOMMU_DOMAIN_IDENTITY:
		return &flat_identity_domain;
	case IOMMU_DOMAIN_BLOCKED:
		return &flat_blocked_domain;
	case IOMMU_DOMAIN_UNMANAGED:
		domain = flat_domain_alloc();
		return IS_ERR(domain) ? NULL : domain;
	default:
		return NULL;
	}
}
#endif

const struct iommu_ops flat_iommu_ops = {
	.capable = flat_capable,
	.probe_device = flat_probe_device,
	.release_device = flat_release_device,
	.device_group = flat_device_group,
	.get_resv_regions = flat_get_resv_regions,
	.def_domain_type = flat_def_domain_type,
#ifdef HAVE_DOMAIN_ALLOC_PAGING
	.identity_domain = &flat_identity_domain,
	.blocked_domain = &flat_blocked_domain,
	.domain_alloc_paging = flat_domain_alloc_paging,
#else
	.domain_alloc = flat_domain_alloc_type,
#endif
	.default_domain_ops = &flat_paging_ops,
	.owner = THIS_MODULE,
};
