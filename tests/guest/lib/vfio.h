/* SPDX-License-Identifier: MIT */
/* linux/vfio.h: containers with type1, groups, devices. Results are 0, what is asked, or -errno. */
#ifndef TEST_VFIO_H
#define TEST_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VFIO_MAX_FDS 16

struct vfio_dev {
	const char *bdf;
	int group;
	int fd;
	uint64_t config;	/* offset of config space in fd */
	void *bar0;
	size_t bar0_size;
};

#define VFIO_DEV_INIT { .group = -1, .fd = -1 }

/* File descriptors. */
int vfio_container(void);
int vfio_group(const char *bdf);
/* Their modes let everybody open them. 0 or -errno. */
int vfio_open_to_all(const char *bdf);
/* Type1 v2. */
int vfio_set_iommu(int container);
int vfio_set_container(int group, int container);
int vfio_unset_container(int group);

/* Group, container with type1, device, BAR0; @container may have type1 already. */
int vfio_open(struct vfio_dev *v, int container, const char *bdf);
/* In a container of its own, and free to do DMA. */
int vfio_open_alone(struct vfio_dev *v, int *container, const char *bdf);
/* The device of a group that is in its container; where it has config space, and its BAR0, if any. */
int vfio_open_device(struct vfio_dev *v);
int vfio_use_device(struct vfio_dev *v);
/* Any BAR, to be unmapped with munmap(). */
int vfio_map_bar(const struct vfio_dev *v, unsigned int index, void **bar, size_t *size);
void vfio_close(struct vfio_dev *v);
/* Closes and forgets. */
void close_fd(int *fd);

/* Read and write. */
int vfio_map(int container, const void *addr, uint64_t iova, size_t size);
int vfio_map_read(int container, const void *addr, uint64_t iova, size_t size);
/* At the bus address, which is looked up again should the page have moved meanwhile. */
int vfio_map_at_bus(int container, const void *addr, size_t size, uint64_t *bus);
/* The bytes unmapped are more or less than @size: -EIO. */
int vfio_unmap(int container, uint64_t iova, size_t size);
/* The bytes unmapped go to @done. */
int vfio_unmap_some(int container, uint64_t iova, size_t size, uint64_t *done);
int vfio_unmap_all(int container, uint64_t *done);
/* The last IOVA that may be mapped. */
int vfio_last_iova(int container, uint64_t *last);

int vfio_config_read(const struct vfio_dev *v, unsigned int reg, void *value, size_t size);
int vfio_config_write(const struct vfio_dev *v, unsigned int reg, const void *value, size_t size);
int vfio_set_bus_master(const struct vfio_dev *v, bool on);
/* 1, 0 or -errno. */
int vfio_bus_master(const struct vfio_dev *v);
int vfio_reset(const struct vfio_dev *v);

/* @index is VFIO_PCI_MSIX_IRQ_INDEX and the like. */
int vfio_irq_count(const struct vfio_dev *v, unsigned int index);
/* Vectors 0 to @count - 1, each to its own eventfd. */
int vfio_irq_enable(const struct vfio_dev *v, unsigned int index, const int *eventfds,
		    unsigned int count);
int vfio_irq_disable(const struct vfio_dev *v, unsigned int index);
/* Vector 0; @action is VFIO_IRQ_SET_ACTION_MASK or _UNMASK. */
int vfio_irq_mask(const struct vfio_dev *v, unsigned int index, uint32_t action);

/* An eventfd that does not block, and how often it was signalled since: 0 in half a minute. */
int event_new(void);
uint64_t event_wait(int fd);
/* How often it was up to now. */
uint64_t event_take(int fd);

#endif
