// SPDX-License-Identifier: MIT
/*
 * Where in a buffer each segment begins, and a table of addresses that makes flatiommu_dma_address() a
 * few instructions: with one segment a single entry, else one for each page.
 */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

/* Any offset of a process is in the first unit of this size. */
#define WHOLE_SHIFT 63

static int index_pages(struct buffer *buffer, uint64_t *bases)
{
	struct flatiommu_dma *dma = &buffer->dma;
	size_t unit = (size_t)1 << dma->shift, at = 0, i, page = 0;

	for (i = 0; i < dma->nr_segments; i++) {
		size_t end = buffer->starts[i] + dma->segments[i].length;

		/* A unit has one base: what a segment begins must begin a unit, but for the first. */
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
