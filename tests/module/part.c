// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests/guest/parts.c: one call of the IOMMU API to the domain that a PCI function is in, such
 * as no user of VFIO can make. Loading fails with EIO unless all of the range is mapped or
 * unmapped. Leaves nothing behind.
 */
#include <linux/errno.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "function.h"

static char *function = "";
module_param(function, charp, 0);
MODULE_PARM_DESC(function, "such as 0000:00:04.0");

static unsigned long iova;
module_param(iova, ulong, 0);
MODULE_PARM_DESC(iova, "first byte");

static unsigned long size;
module_param(size, ulong, 0);
MODULE_PARM_DESC(size, "bytes, of whole pages");

static unsigned long phys;
module_param(phys, ulong, 0);
MODULE_PARM_DESC(phys, "the memory to map; without it, the range is unmapped");

static bool doorbell;
module_param(doorbell, bool, 0);
MODULE_PARM_DESC(doorbell, "map as the core does the page that MSIs go to");

static int call_domain(struct iommu_domain *domain)
{
	int prot = doorbell ? IOMMU_WRITE | IOMMU_NOEXEC | IOMMU_MMIO : IOMMU_READ | IOMMU_WRITE;
	size_t done = 0;
	int ret = 0;

	if (phys)
		ret = domain->ops->map_pages(domain, iova, phys, PAGE_SIZE, size / PAGE_SIZE,
					     prot, GFP_KERNEL, &done);
	else
		done = iommu_unmap(domain, iova, size);
	if (ret)
		return ret;
	return done == size ? 0 : -EIO;
}

static int __init part_init(void)
{
	struct iommu_domain *domain;
	struct pci_dev *pdev;
	int ret = -ENODEV;

	if (!size)
		return -EINVAL;
	pdev = get_function(function);
	if (!pdev)
		return ret;
	domain = iommu_get_domain_for_dev(&pdev->dev);
	if (domain && domain->ops->map_pages)
		ret = call_domain(domain);
	pci_dev_put(pdev);
	return ret;
}

static void __exit part_exit(void)
{
}

module_init(part_init);
module_exit(part_exit);
MODULE_DESCRIPTION("A call of the IOMMU API");
MODULE_LICENSE("GPL");
