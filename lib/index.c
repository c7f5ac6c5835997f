// SPDX-License-Identifier: MIT
/*
 * The index of a buffer: the offset of each segment, and a table of addresses with which
 * flatiommu_dma_address() is a few instructions. It has one entry if there is one segment, else one
 * for each page.
 */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

/* A unit that is larger than any buffer, so that all offsets are in the first one. */
#define WHOLE_SHIFT 63

static int index_pages(struct buffer *buffer, uint64_t *bases)
{
	struct flatiommu_dma *dma = &buffer->dma;
	size_t unit = (size_t)1 << dma->shift, at = 0, i, page = 0;

	for (i = 0; i < dma->nr_segments; i++) {
		size_t end = buffer->starts[i] + dma->segments[i].length;

		/* A unit has one base, so each segment but the first must begin with a unit. */
		if (i && (dma->skipped + at) & (unit - 1))
			return -EINVAL;
		while (at < end) {
			bases[page++] = dma->segments[i].address - buffer->starts[i];
			at = page * unit - dma->skipped;
		}
		at = end;
	}
	return 0;
}

int index_segments(struct buffer *buffer)
{
	struct flatiommu_dma *dma = &buffer->dma;
	size_t n = dma->nr_segments, i, pages;
	uint64_t *bases;

	buffer->starts = calloc(n, sizeof(*buffer->starts));
	if (!buffer->starts)
		return -ENOMEM;
	for (i = 1; i < n; i++)
		buffer->starts[i] = buffer->starts[i - 1] + dma->segments[i - 1].length;
	if (n == 1) {
		buffer->base = dma->segments[0].address;
		dma->bases = &buffer->base;
		dma->shift = WHOLE_SHIFT;
		return 0;
	}
	dma->shift = (unsigned int)__builtin_ctzl(dma->page_size);
	dma->skipped = (uintptr_t)dma->memory & (dma->page_size - 1);
	pages = ((dma->skipped + dma->length - 1) >> dma->shift) + 1;
	bases = calloc(pages, sizeof(*bases));
	if (!bases)
		return -ENOMEM;
	dma->bases = bases;
	return index_pages(buffer, bases);
}

void drop_index(struct buffer *buffer)
{
	if (buffer->dma.bases != &buffer->base)
		free((void *)buffer->dma.bases);
	free(buffer->starts);
	free((void *)buffer->dma.segments);
	buffer->dma.bases = NULL;
	buffer->dma.segments = NULL;
	buffer->starts = NULL;
}
