/* SPDX-License-Identifier: MIT */
/*
 * A 2 MiB buffer that the device may read and write: one huge page, contiguous on the bus.
 */
#ifndef EXAMPLE_DMA_H
#define EXAMPLE_DMA_H

#include <stddef.h>
#include <stdint.h>

#include "vfio.h"

#define DMA_BUF_SIZE	((size_t)2 << 20)

struct dma_buf {
	char *addr;		/* for the program */
	uint64_t iova;		/* for VFIO */
	uint64_t bus;		/* for the device */
};

/* Zeroed. Returns 0 or -errno, and has named the cause on stderr when it fails. */
int dma_alloc(struct vfio_dev *v, struct dma_buf *buf);
void dma_free(const struct vfio_dev *v, struct dma_buf *buf);

#endif
