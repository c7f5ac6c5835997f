// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests/guest/refusals.t: while this is loaded, a PCI function is behind an external port, as
 * firmware says of a laptop's, or its DMA is bounced, as a device tree's restricted DMA pool has
 * it.
 */
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/string.h>
#include <linux/swiotlb.h>

#include "function.h"

static char *function = "";
module_param(function, charp, 0);
MODULE_PARM_DESC(function, "such as 0000:00:04.0");

static char *is = "";
module_param(is, charp, 0);
MODULE_PARM_DESC(is, "external or bounced");

static struct io_tlb_mem pool = { .force_bounce = true };
static struct io_tlb_mem *pool_before;
static unsigned int untrusted_before;
static struct pci_dev *pdev;

static int __init setting_init(void)
{
	bool external = !strcmp(is, "external");

	if (!external && strcmp(is, "bounced"))
		return -EINVAL;
	pdev = get_function(function);
	if (!pdev)
		return -ENODEV;
	untrusted_before = pdev->untrusted;
	pool_before = pdev->dev.dma_io_tlb_mem;
	if (external)
		pdev->untrusted = 1;
	else
		pdev->dev.dma_io_tlb_mem = &pool;
	return 0;
}

static void __exit setting_exit(void)
{
	pdev->untrusted = untrusted_before;
	pdev->dev.dma_io_tlb_mem = pool_before;
	pci_dev_put(pdev);
}

module_init(setting_init);
module_exit(setting_exit);
MODULE_DESCRIPTION("What a PCI function's surroundings say of it");
MODULE_LICENSE("GPL");
