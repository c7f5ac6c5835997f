/* SPDX-License-Identifier: MIT */
/* Allocation of memory of a chosen kind, which is not mapped for devices yet. */
#ifndef LIB_MEMORY_H
#define LIB_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include <flatiommu.h>

struct memory {
	void *addr;
	size_t size;		/* whole pages of the kind */
	size_t page_size;
	int file;		/* with FLATIOMMU_DMA_SHARED, or -1 */
};

/* Returns the size of huge pages of the kind, or 0 for ordinary pages. */
size_t huge_page_size(enum flatiommu_dma_pages pages);

/* Returns the bytes of memory that memory_get() needs for @length. */
size_t memory_size(size_t length, enum flatiommu_dma_pages pages,
		   const struct flatiommu_dma_options *options);
/*
 * Allocates memory that is zeroed and present. @pages is not FLATIOMMU_PAGES_ANY. Without
 * FLATIOMMU_DMA_NO_FALLBACK, another node is possible with FLATIOMMU_DMA_ON_NODE. Returns 0 or
 * -errno: -ENOMEM if there is no such memory.
 */
int memory_get(size_t length, enum flatiommu_dma_pages pages,
	       const struct flatiommu_dma_options *options, struct memory *memory);
void memory_put(const struct memory *memory);

/*
 * The file reach.c: allocates memory of the module, within the reach of the context's devices.
 * Ignores @options->pages. The caller does not hold the context's lock. Returns
 * 0		@memory is set
 * -EOPNOTSUPP	the module does not give such memory; mostly without fail()
 * or calls fail() and returns another -errno.
 */
int reach_get(struct flatiommu *flat, size_t length, const struct flatiommu_dma_options *options,
	      struct memory *memory);
/* Gets length and number of the module's memory in @file. Returns -errno for another file. */
int reach_identify(int file, uint64_t *length, uint64_t *id);

#endif
