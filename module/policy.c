// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which functions may be claimed. A claim promises two things: the function has no other IOMMU, and
 * a bus address is all that it needs to reach memory.
 */
#include <linux/cc_platform.h>
#include <linux/dma-map-ops.h>
#include <linux/iommu.h>
#include <linux/pci.h>
#include <linux/security.h>
#include <linux/swiotlb.h>
#include <xen/xen.h>

#include "compat.h"
#include "flatiommu.h"

/* Returns why bus addresses are not enough on this machine, or NULL. */
const char *flat_not_plain(struct pci_dev *pdev)
{
	if (cc_platform_has(CC_ATTR_MEM_ENCRYPT) || cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT))
		return "memory is encrypted, and devices see the cipher text";
	if (xen_pv_domain() || xen_initial_domain())
		return "under Xen, physical addresses are not bus addresses";
	if (is_swiotlb_force_bounce(&pdev->dev))
		return "its DMA must be bounced (swiotlb=force or a restricted DMA pool)";
	return NULL;
}

/**
 * flat_not_for_programs() - why no program may drive a function
 * @pdev:	the function
 *
 * Returns why, or NULL. A bridge of class "other", such as Intel's NTB, is an ordinary function.
 */
const char *flat_not_for_programs(struct pci_dev *pdev)
{
	/* Clearing bus mastering of a bridge stops every device behind it. */
	if (pdev->hdr_type != PCI_HEADER_TYPE_NORMAL ||
	    (pdev->class >> 16 == PCI_BASE_CLASS_BRIDGE &&
	     pdev->class >> 8 != PCI_CLASS_BRIDGE_OTHER))
		return "it is a bridge";
	if (pdev->untrusted)
		return "it is behind an external port, where anything may be plugged in";
	return NULL;
}

/* Does kernel lockdown forbid user space to have @pdev? Logs it if the kernel is locked down. */
bool flat_locked_down(struct pci_dev *pdev)
{
	if (!security_locked_down(LOCKDOWN_PCI_ACCESS))
		return false;
#ifdef FLATIOMMU_TRUST_SIGNER
	pr_warn_ratelimited("%s: the kernel is locked down; going on, as this module was built with LOCKDOWN=trust-signer\n",
			    pci_name(pdev));
	return false;
#else
	pr_warn_ratelimited("%s: not for programs, as the kernel is locked down; a module built with LOCKDOWN=trust-signer, and signed, would go on\n",
			    pci_name(pdev));
	return true;
#endif
}

/* Is @pdev's DMA not coherent with the processor's caches? If so, logs @outcome and why. */
bool flat_is_incoherent(struct pci_dev *pdev, const char *outcome)
{
	if (dev_is_dma_coherent(&pdev->dev))
		return false;
	pr_warn_ratelimited("%s: %s: its DMA is not coherent with the processor's caches, which no program can write back\n",
			    pci_name(pdev), outcome);
	return true;
}

/* Has @pdev another IOMMU, or will it have one once its driver is there? If so, logs it. */
static bool has_iommu(struct pci_dev *pdev)
{
	struct iommu_group *group = iommu_group_get(&pdev->dev);

	if (group) {
		pr_warn("%s: not claimed: it is in IOMMU group %d already; VFIO works on it without this module\n",
			pci_name(pdev), iommu_group_id(group));
		iommu_group_put(group);
		return true;
	}
	if (dev_iommu_fwspec_get(&pdev->dev)) {
		pr_warn("%s: not claimed: firmware describes an IOMMU in front of it, and that IOMMU has no driver\n",
			pci_name(pdev));
		return true;
	}
	return false;
}

/**
 * flat_may_claim() - may a function be claimed?
 * @pdev:	a function that is not claimed; as for flat_claim_function()
 * @binding:	a driver is about to bind to it
 *
 * Returns 0, or logs the reason and returns
 * -EOPNOTSUPP		not an endpoint, or behind an external port
 * -EAGAIN		the driver of the IOMMU in front of it is not there yet
 * -EALREADY		another IOMMU has it
 * -EAFNOSUPPORT	bus addresses are not enough on this machine
 * -EPROTONOSUPPORT	its DMA is not coherent
 * -EACCES		kernel lockdown
 */
int flat_may_claim(struct pci_dev *pdev, bool binding)
{
	const char *why;

	why = flat_not_for_programs(pdev);
	if (why) {
		pr_warn("%s: not claimed: %s\n", pci_name(pdev), why);
		return -EOPNOTSUPP;
	}
	/* The driver core has done this for a function that has a driver. */
	if (!binding && !pdev->dev.driver && flat_compat_configure_dma(pdev) == -EPROBE_DEFER) {
		pr_warn("%s: not claimed: the driver of the IOMMU in front of it is not there yet; try again\n",
			pci_name(pdev));
		return -EAGAIN;
	}
	if (has_iommu(pdev))
		return -EALREADY;
	why = flat_not_plain(pdev);
	if (why) {
		pr_warn("%s: not claimed: %s\n", pci_name(pdev), why);
		return -EAFNOSUPPORT;
	}
	if (flat_is_incoherent(pdev, "not claimed"))
		return -EPROTONOSUPPORT;
	return flat_locked_down(pdev) ? -EACCES : 0;
}
