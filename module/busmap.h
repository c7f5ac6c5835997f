/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_BUSMAP_H
#define FLATIOMMU_BUSMAP_H

#include <linux/dma-mapping.h>
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
dma_addr_t flat_bus_address_slow(const struct flat_bus_map *map, phys_addr_t phys, u64 *size);

/**
 * flat_bus_address_up_to() - the bus address of the beginning of a range
 * @map:	how the function sees memory
 * @phys:	CPU address of the first byte
 * @size:	bytes, not 0; lowered to those that the function reaches at consecutive addresses
 *
 * Returns the bus address, or DMA_MAPPING_ERROR if the function cannot reach the first byte.
 */
static inline dma_addr_t flat_bus_address_up_to(const struct flat_bus_map *map, phys_addr_t phys,
						u64 *size)
{
	/* The common case is inline, because scattered memory needs a call for each page. */
	if (map->same)
		return phys;
	return flat_bus_address_slow(map, phys, size);
}

/* As flat_bus_address_up_to(), or DMA_MAPPING_ERROR if the function does not reach all of @size. */
static inline dma_addr_t flat_bus_address(const struct flat_bus_map *map, phys_addr_t phys,
					  size_t size)
{
	u64 reached = size;
	dma_addr_t bus = flat_bus_address_up_to(map, phys, &reached);

	return reached == size ? bus : DMA_MAPPING_ERROR;
}

#endif /* FLATIOMMU_BUSMAP_H */
