/* SPDX-License-Identifier: MIT */
/* linux/vfio.h: containers with type1, groups, devices. The functions return 0, a result, or -errno. */
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

/* These return file descriptors. */
int vfio_container(void);
int vfio_group(const char *bdf);
/* Lets every user open VFIO's nodes. Returns 0 or -errno. */
int vfio_open_to_all(const char *bdf);
/* Sets type1 v2. */
int vfio_set_iommu(int container);
int vfio_set_container(int group, int container);
int vfio_unset_container(int group);

/* Opens the group, sets type1 unless @container has it, opens the device, and maps BAR 0. */
int vfio_open(struct vfio_dev *v, int container, const char *bdf);
/* The same in a container of its own, with bus mastering. */
int vfio_open_alone(struct vfio_dev *v, int *container, const char *bdf);
/* Opens the device of a group that is in its container; finds config space, and maps BAR 0 if it can be mapped. */
int vfio_open_device(struct vfio_dev *v);
int vfio_use_device(struct vfio_dev *v);
/* Maps any BAR. munmap() unmaps it. */
int vfio_map_bar(const struct vfio_dev *v, unsigned int index, void **bar, size_t *size);
void vfio_close(struct vfio_dev *v);
/* Closes the file unless it is -1, and sets it to -1. */
void close_fd(int *fd);

/* Maps for reading and writing. */
int vfio_map(int container, const void *addr, uint64_t iova, size_t size);
int vfio_map_read(int container, const void *addr, uint64_t iova, size_t size);
/* Maps at the bus address, which is looked up again if the page has moved meanwhile. */
int vfio_map_at_bus(int container, const void *addr, size_t size, uint64_t *bus);
/* Returns -EIO if more or fewer bytes than @size were unmapped. */
int vfio_unmap(int container, uint64_t iova, size_t size);
/* @done gets the number of unmapped bytes. */
int vfio_unmap_some(int container, uint64_t iova, size_t size, uint64_t *done);
int vfio_unmap_all(int container, uint64_t *done);
/* Gets the last IOVA that can be mapped. */
int vfio_last_iova(int container, uint64_t *last);

int vfio_config_read(const struct vfio_dev *v, unsigned int reg, void *value, size_t size);
int vfio_config_write(const struct vfio_dev *v, unsigned int reg, const void *value, size_t size);
int vfio_set_bus_master(const struct vfio_dev *v, bool on);
/* Returns 1, 0 or -errno. */
int vfio_bus_master(const struct vfio_dev *v);
int vfio_reset(const struct vfio_dev *v);

/* @index is VFIO_PCI_MSIX_IRQ_INDEX or another kind. */
int vfio_irq_count(const struct vfio_dev *v, unsigned int index);
/* Enables vectors 0 to @count - 1, each with its own eventfd. */
int vfio_irq_enable(const struct vfio_dev *v, unsigned int index, const int *eventfds,
		    unsigned int count);
int vfio_irq_disable(const struct vfio_dev *v, unsigned int index);
/* Masks or unmasks vector 0: @action is VFIO_IRQ_SET_ACTION_MASK or _UNMASK. */
int vfio_irq_mask(const struct vfio_dev *v, unsigned int index, uint32_t action);

/* Make an eventfd that does not block, and wait for it, at most half a minute. event_wait() returns the number of signals. */
int event_new(void);
uint64_t event_wait(int fd);
/* Returns the number of signals up to now. */
uint64_t event_take(int fd);

#endif
