// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bus addresses. A function has its dev->dma_range_map only while a driver is bound. Domains and
 * guards may live longer, so they keep a copy.
 */
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/ioport.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "busmap.h"

#ifdef CONFIG_ARCH_HAS_PHYS_TO_DMA
#error "this architecture has bus addresses of its own"
#endif

static unsigned int count_regions(const struct bus_dma_region *regions)
{
	unsigned int n = 0;

	if (regions)
		while (regions[n].size)
			n++;
	return n;
}

/*
 * A peer's BAR is at pci_bus_address(), which is resource.start minus its window's offset. Returns
 * the highest bus address of the windows that have an offset, or 0.
 */
static u64 last_of_moved_windows(struct pci_dev *pdev)
{
	struct pci_host_bridge *bridge = pci_find_host_bridge(pdev->bus);
	struct resource_entry *window;
	u64 last = 0;

	resource_list_for_each_entry(window, &bridge->windows)
		if (resource_type(window->res) == IORESOURCE_MEM && window->offset)
			last = max_t(u64, last, window->res->end - window->offset);
	return last;
}

/*
 * Returns the highest bus address that the bridges above @pdev forward, or 0 if there is no limit.
 * On arm64 with ACPI, bus_dma_limit is U64_MAX if there is no limit, and U64_MAX - 1 on older
 * kernels.
 */
u64 flat_bus_limit(struct pci_dev *pdev)
{
	u64 limit = READ_ONCE(pdev->dev.bus_dma_limit);

	return limit < U64_MAX - 1 ? limit : 0;
}

/**
 * flat_bus_map_copy() - copy how a function sees memory
 * @map:	gets the copy, for flat_bus_map_drop()
 * @pdev:	the function, bound to its driver
 *
 * Returns 0 or -ENOMEM.
 */
int flat_bus_map_copy(struct flat_bus_map *map, struct pci_dev *pdev)
{
	const struct bus_dma_region *regions = pdev->dev.dma_range_map;
	unsigned int n = count_regions(regions);

	map->regions = NULL;
	map->limit = flat_bus_limit(pdev);
	map->mmio_last = last_of_moved_windows(pdev);
	map->mmio = !map->mmio_last && !n;
	map->same = map->mmio && !map->limit;
	if (!n)
		return 0;
	map->regions = kmemdup(regions, (n + 1) * sizeof(*regions), GFP_KERNEL_ACCOUNT);
	return map->regions ? 0 : -ENOMEM;
}

/* Is each CPU address the bus address, without a limit? */
bool flat_bus_map_is_plain(const struct flat_bus_map *map)
{
	return !map->regions && !map->limit;
}

/* Does @pdev see memory as @map says? Only then may it share a domain. */
bool flat_bus_map_fits(const struct flat_bus_map *map, struct pci_dev *pdev)
{
	const struct bus_dma_region *a = map->regions, *b = pdev->dev.dma_range_map;
	unsigned int n = count_regions(b), i;

	if (map->limit != flat_bus_limit(pdev) || count_regions(a) != n ||
	    map->mmio_last != last_of_moved_windows(pdev))
		return false;
	for (i = 0; i < n; i++)
		if (a[i].cpu_start != b[i].cpu_start || a[i].dma_start != b[i].dma_start ||
		    a[i].size != b[i].size)
			return false;
	return true;
}

/* Returns the highest CPU address that may have a bus address of at most @bus. */
u64 flat_bus_map_last(const struct flat_bus_map *map, u64 bus)
{
	const struct bus_dma_region *r = map->regions;
	u64 last = 0;

	if (!r)
		return bus;
	for (; r->size; r++)
		if (r->dma_start <= bus)
			last = max_t(u64, last,
				     r->cpu_start + min(r->size - 1, bus - r->dma_start));
	return last;
}

void flat_bus_map_drop(struct flat_bus_map *map)
{
	kfree(map->regions);
	map->regions = NULL;
}

static const struct bus_dma_region *find_region(const struct bus_dma_region *r, phys_addr_t phys)
{
	for (; r->size; r++)
		if (phys >= r->cpu_start && phys - r->cpu_start < r->size)
			return r;
	return NULL;
}

/* As flat_bus_address_up_to(). Firmware may describe one range in several pieces. */
static dma_addr_t to_bus(const struct bus_dma_region *regions, phys_addr_t phys, u64 *size)
{
	const struct bus_dma_region *r = find_region(regions, phys);
	dma_addr_t bus;
	u64 done;

	if (!r)
		return DMA_MAPPING_ERROR;
	bus = r->dma_start + (phys - r->cpu_start);
	do {
		done = min(*size, r->size - (phys - r->cpu_start));
		r = find_region(regions, phys + done);
	} while (r && done < *size && r->dma_start + (phys + done - r->cpu_start) == bus + done);
	*size = done;
	return bus;
}

/* The slow path of flat_bus_address_up_to(): a map with regions, a limit or moved windows. */
dma_addr_t flat_bus_address_slow(const struct flat_bus_map *map, phys_addr_t phys, u64 *size)
{
	dma_addr_t bus = phys;

	if (!map->mmio && region_intersects(phys, *size, IORESOURCE_SYSTEM_RAM,
					    IORES_DESC_NONE) != REGION_INTERSECTS)
		return DMA_MAPPING_ERROR;
	if (map->regions)
		bus = to_bus(map->regions, phys, size);
	if (!map->limit || bus == DMA_MAPPING_ERROR)
		return bus;
	if (bus > map->limit)
		return DMA_MAPPING_ERROR;
	*size = min(*size, map->limit - bus + 1);
	return bus;
}
