// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests/guest/refusals.t and range.c: while this is loaded, a PCI function is behind an
 * external port, as firmware says of a laptop's, or its DMA is bounced, as a device tree's
 * restricted DMA pool has it, or what is above it lets no more than some bus addresses through, or
 * the windows of its host bridge have other addresses on the bus, or something has an address.
 */
#include <linux/errno.h>
#include <linux/ioport.h>
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
MODULE_PARM_DESC(is, "external, bounced, limited, moved or occupied");

static unsigned long long limit;
module_param(limit, ullong, 0);
MODULE_PARM_DESC(limit, "the last bus address that gets through");

static unsigned long long offset;
module_param(offset, ullong, 0);
MODULE_PARM_DESC(offset, "what PCI windows have more on the bus, or where a page is occupied");

static struct io_tlb_mem pool = { .force_bounce = true };
static struct io_tlb_mem *pool_before;
static u64 limit_before;
static resource_size_t iomem_last_before;
static unsigned int untrusted_before;
static enum { EXTERNAL, BOUNCED, LIMITED, MOVED, OCCUPIED } setting;
static struct pci_dev *pdev;

/* Nobody here asks for the bus address of a BAR meanwhile. */
static void move_windows(resource_size_t by)
{
	struct resource_entry *window;

	resource_list_for_each_entry(window, &pci_find_host_bridge(pdev->bus)->windows)
		if (resource_type(window->res) == IORESOURCE_MEM)
			window->offset += by;
}

/* The processor may reach less than that. */
static int occupy(resource_size_t start)
{
	iomem_last_before = iomem_resource.end;
	iomem_resource.end = max(iomem_resource.end, start + PAGE_SIZE - 1);
	if (request_mem_region(start, PAGE_SIZE, "occupied"))
		return 0;
	iomem_resource.end = iomem_last_before;
	pci_dev_put(pdev);
	return -EBUSY;
}

static int __init setting_init(void)
{
	if (!strcmp(is, "external"))
		setting = EXTERNAL;
	else if (!strcmp(is, "bounced"))
		setting = BOUNCED;
	else if (!strcmp(is, "limited"))
		setting = LIMITED;
	else if (!strcmp(is, "moved"))
		setting = MOVED;
	else if (!strcmp(is, "occupied"))
		setting = OCCUPIED;
	else
		return -EINVAL;
	pdev = get_function(function);
	if (!pdev)
		return -ENODEV;
	untrusted_before = pdev->untrusted;
	pool_before = pdev->dev.dma_io_tlb_mem;
	limit_before = pdev->dev.bus_dma_limit;
	switch (setting) {
	case EXTERNAL:
		pdev->untrusted = 1;
		break;
	case BOUNCED:
		pdev->dev.dma_io_tlb_mem = &pool;
		break;
	case LIMITED:
		pdev->dev.bus_dma_limit = limit;
		break;
	case MOVED:
		move_windows(-offset);
		break;
	case OCCUPIED:
		return occupy(offset);
	}
	return 0;
}

static void __exit setting_exit(void)
{
	pdev->untrusted = untrusted_before;
	pdev->dev.dma_io_tlb_mem = pool_before;
	pdev->dev.bus_dma_limit = limit_before;
	if (setting == MOVED)
		move_windows(offset);
	if (setting == OCCUPIED) {
		release_mem_region(offset, PAGE_SIZE);
		iomem_resource.end = iomem_last_before;
	}
	pci_dev_put(pdev);
}

module_init(setting_init);
module_exit(setting_exit);
MODULE_DESCRIPTION("What a PCI function's surroundings say of it");
MODULE_LICENSE("GPL");
