// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests/guest/range.c: a PCI function gets a range of memory at another bus address than the
 * processor's, as some boards' device trees have it. The driver core frees what describes it when
 * the function's driver goes, so that nothing is left to be undone. Two entries describe the range,
 * as they may on such boards.
 */
#include <linux/dma-direct.h>
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "function.h"

static char *function = "";
module_param(function, charp, 0);
MODULE_PARM_DESC(function, "it has a driver already, such as 0000:00:04.0");

static unsigned long long cpu;
module_param(cpu, ullong, 0);
MODULE_PARM_DESC(cpu, "where the range is for the processor");

static unsigned long long bus;
module_param(bus, ullong, 0);
MODULE_PARM_DESC(bus, "where it is for the function");

static unsigned long long size;
module_param(size, ullong, 0);
MODULE_PARM_DESC(size, "bytes");

static int __init range_init(void)
{
	struct bus_dma_region *map;
	struct pci_dev *pdev;
	int ret = -EBUSY;

	if (size < 2)
		return -EINVAL;
	/* an entry of size 0 ends it */
	map = kcalloc(3, sizeof(*map), GFP_KERNEL);
	if (!map)
		return -ENOMEM;
	map[0].cpu_start = cpu;
	map[0].dma_start = bus;
	map[0].size = size / 2;
	map[1].cpu_start = cpu + size / 2;
	map[1].dma_start = bus + size / 2;
	map[1].size = size - size / 2;
	pdev = get_function(function);
	if (!pdev) {
		kfree(map);
		return -ENODEV;
	}
	device_lock(&pdev->dev);
	if (pdev->dev.driver && !pdev->dev.dma_range_map) {
		pdev->dev.dma_range_map = map;
		map = NULL;
		ret = 0;
	}
	device_unlock(&pdev->dev);
	pci_dev_put(pdev);
	kfree(map);
	return ret;
}

static void __exit range_exit(void)
{
}

module_init(range_init);
module_exit(range_exit);
MODULE_DESCRIPTION("A range of memory at another bus address");
MODULE_LICENSE("GPL");
