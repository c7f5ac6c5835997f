/* SPDX-License-Identifier: MIT */
/*
 * One PCI function through the stock VFIO API: container, group, device (linux/vfio.h).
 */
#ifndef EXAMPLE_VFIO_H
#define EXAMPLE_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vfio_dev {
	char bdf[24];
	int group_id;
	int container;
	int group;
	int device;
	int flat;			/* /dev/flatiommu, or -1: an IOMMU translates */
	uint64_t mapped;		/* bytes, so far */
	uint32_t flags;			/* VFIO_DEVICE_FLAGS_* */
	uint64_t config_offset;		/* of config space in the device's file */
	void *bar0;
	size_t bar0_size;
};

/* Every function returns 0 or -errno and has named the cause on stderr when it fails. */
int vfio_open(struct vfio_dev *v, const char *bdf);
void vfio_close(struct vfio_dev *v);

int vfio_reset(const struct vfio_dev *v);
int vfio_config_read16(const struct vfio_dev *v, unsigned int reg, uint16_t *value);
int vfio_bus_master(const struct vfio_dev *v, bool on);

/* index is VFIO_PCI_MSIX_IRQ_INDEX and the like. */
int vfio_irq_count(const struct vfio_dev *v, unsigned int index, unsigned int *count);
int vfio_msix_enable(const struct vfio_dev *v, const int *eventfds, unsigned int count);
int vfio_msix_disable(const struct vfio_dev *v);

/* Silent: dma.c knows what its caller wanted. */
int vfio_dma_map(const struct vfio_dev *v, void *addr, uint64_t iova, size_t size);
int vfio_dma_unmap(const struct vfio_dev *v, uint64_t iova, size_t size);

/* What translates, or does not translate, this function's DMA: text for a person. */
void vfio_backend(const struct vfio_dev *v, char *text, size_t size);

#endif
