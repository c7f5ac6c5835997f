/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_BUSMAP_H
#define FLATIOMMU_BUSMAP_H

#include <linux/types.h>

struct bus_dma_region;
struct pci_dev;

/**
 * struct flat_bus_map - how a PCI function sees memory
 * @regions:	copy of the function's dma_range_map, ended by an entry of size 0;
 *		NULL if bus addresses are CPU addresses
 * @limit:	flat_bus_limit() of the function
 * @mmio:	the bus addresses of BARs, too, are their CPU addresses
 * @mmio_last:	highest bus address of a PCI window that has another CPU address, or 0
 * @same:	all bus addresses are CPU addresses: no @regions, no @limit, and @mmio
 */
struct flat_bus_map {
	struct bus_dma_region *regions;
	u64 limit;
	bool mmio;
	u64 mmio_last;
	bool same;
};

u64 flat_bus_limit(struct pci_dev *pdev);
int flat_bus_map_copy(struct flat_bus_map *map, struct pci_dev *pdev);
bool flat_bus_map_is_plain(const struct flat_bus_map *map);
bool flat_bus_map_fits(const struct flat_bus_map *map, struct pci_dev *pdev);
u64 flat_bus_map_last(const struct flat_bus_map *map, u64 bus);
void flat_bus_map_drop(struct flat_bus_map *map);
dma_addr_t flat_bus_address_of(const struct flat_bus_map *map, phys_addr_t phys, size_t size);

/**
 * flat_bus_address() - the bus address of a range
 * @map:	how the function sees memory
 * @phys:	CPU address of the first byte
 * @size:	bytes, not 0
 *
 * Returns the bus address, or DMA_MAPPING_ERROR if the function cannot reach the whole range at
 * consecutive addresses.
 */
static inline dma_addr_t flat_bus_address(const struct flat_bus_map *map, phys_addr_t phys,
					  size_t size)
{
	/* The common case is inline, because scattered memory needs a call for each page. */
	if (map->same)
		return phys;
	return flat_bus_address_of(map, phys, size);
}

#endif /* FLATIOMMU_BUSMAP_H */
