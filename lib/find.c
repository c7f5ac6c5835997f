// SPDX-License-Identifier: MIT
/* Finds the buffer that contains a byte of the program's memory. */
#include "internal.h"

#define buffer_at(place_)	\
	((struct buffer *)((char *)(place_) - offsetof(struct buffer, place)))

struct flatiommu_dma *flatiommu_dma_find(struct flatiommu *flat, const void *memory, size_t *offset)
{
	struct flatiommu_dma *dma = NULL;
	struct place *place;

	if (!flat || !is_ours(flat))
		return NULL;
	pthread_mutex_lock(&flat->lock);
	place = place_find(flat->places, untagged(memory));
	if (place) {
		dma = &buffer_at(place)->dma;
		if (offset)
			*offset = untagged(memory) - place->start;
	}
	pthread_mutex_unlock(&flat->lock);
	return dma;
}

uint64_t flatiommu_bus_address(struct flatiommu *flat, const void *memory)
{
	size_t offset;
	const struct flatiommu_dma *dma = flatiommu_dma_find(flat, memory, &offset);

	return dma ? flatiommu_dma_address(dma, offset) : UINT64_MAX;
}
