/* SPDX-License-Identifier: MIT */
/* Memory of a chosen kind, before devices have it. */
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

/* A size that huge pages of the kind have; 0 for ordinary ones. */
size_t huge_page_size(enum flatiommu_dma_pages pages);

/*
 * Memory that is all zero and there. @pages is not FLATIOMMU_PAGES_ANY. Without
 * FLATIOMMU_DMA_NO_FALLBACK, FLATIOMMU_DMA_ON_NODE is a wish. 0 or -errno, which is -ENOMEM when
 * there is none.
 */
int memory_get(size_t length, enum flatiommu_dma_pages pages,
	       const struct flatiommu_dma_options *options, struct memory *memory);
void memory_put(const struct memory *memory);

/*
 * The file reach.c: the same from the kernel, within reach of the context's devices as @options says, of which
 * it takes no notice of pages. 0, or -errno having called fail(); -EOPNOTSUPP without a word where
 * it is not to be had. Does not want the context's lock.
 */
int reach_get(struct flatiommu *flat, size_t length, const struct flatiommu_dma_options *options,
	      struct memory *memory);
/* What memory is behind such a file; -errno of another file. */
int reach_identify(int file, uint64_t *length, uint64_t *id);

#endif
