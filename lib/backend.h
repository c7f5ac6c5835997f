/* SPDX-License-Identifier: MIT */
/*
 * Ways to reach a device: one table of operations each. backend.c chooses, type1.c, iommufd.c and
 * noiommu.c have them. What fails has called fail(), but for unmap().
 *
 * What is about the devices is called with open_lock held, the rest with no lock: the buffer is
 * listed, and so devices stay attached.
 */
#ifndef LIB_BACKEND_H
#define LIB_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct flatiommu;
struct flatiommu_device;
struct flatiommu_dma_segment;
struct flatiommu_function;
struct flatiommu_segment;
struct function;
struct iova_range;

struct backend {
	const char *name;
	/* An IOMMU translates: a buffer's bus address is its IOVA. */
	bool isolated;
	/* On flatiommu.ko: buffers can be pinned through /dev/flatiommu, in the stead of map(). */
	bool pins;

	/* Opens what devices are attached to, and ends that. */
	int (*start)(struct flatiommu *flat);
	void (*stop)(struct flatiommu *flat);

	/* Maps and unmaps for each device by itself: these, too, are called with open_lock held. */
	bool for_each_device;

	/*
	 * Makes device->fd, with all buffers in its reach; and ends what is left once that is
	 * closed.
	 */
	int (*attach)(struct flatiommu_device *device);
	void (*detach)(struct flatiommu_device *device);

	/* The IOVAs that can be used, to be freed; NULL: there are none. Count or -errno. */
	int (*iovas)(struct flatiommu *flat, struct iova_range **ranges);

	/* The buffer's pages, at its IOVA. */
	int (*map)(struct flatiommu *flat, struct buffer *buffer);
	int (*unmap)(struct flatiommu *flat, struct buffer *buffer);

	/*
	 * Bus addresses of the pages, from @offset on: as many segments as there is room for, or less,
	 * but one. Their number or -errno. NULL: the IOVA is the bus address. Else IOVAs are but names,
	 * and nothing must be there.
	 */
	int (*look_up)(struct flatiommu *flat, struct buffer *buffer, size_t offset,
		       struct flatiommu_dma_segment *segments, size_t room);
};

extern const struct backend iommu_type1, iommu_iommufd;
extern const struct backend flatiommu_type1, flatiommu_iommufd;
extern const struct backend noiommu_iommufd, noiommu_group;
extern const struct backend imported;

/*
 * Opens the device with the context's backend, or the first one that works. 0, or -errno having
 * called fail().
 */
int choose_backend(struct flatiommu_device *device);

/* The file flat.c: /dev/flatiommu. Each returns -errno having called fail(), but flat_unpin() and flat_name(). */
int flat_open(struct flatiommu *flat);
struct flatiommu_function flat_name(const struct flatiommu_device *device);
int flat_declare(struct flatiommu_device *device);
int flat_look_up(struct flatiommu *flat, struct buffer *buffer, size_t offset,
		 struct flatiommu_dma_segment *segments, size_t room);
int flat_pin(struct flatiommu_device *device, struct buffer *buffer, uint32_t *pin);
int flat_unpin(struct flatiommu *flat, uint32_t pin);
int flat_look_up_pin(struct flatiommu_device *device, uint32_t pin, size_t offset, size_t length,
		     struct flatiommu_dma_segment *segments, size_t room);
/*
 * Pins it for all devices of the context, as FLATIOMMU_PIN_VFIO, and sets buffer->pin. @segments are those of
 * dma.memory on, @n as many as there is room for, and then are. 0, PIN_NOT_POSSIBLE or -errno.
 */
int flat_pin_all(struct flatiommu *flat, struct buffer *buffer, struct flatiommu_segment *segments,
		 uint32_t *n);
/* The same of a pin, from @offset of dma.memory on. */
int flat_look_up_batch(struct flatiommu *flat, uint32_t pin, size_t offset, size_t length,
		       struct flatiommu_segment *segments, uint32_t *n);
/* -EXDEV: the device has another address space. -ENOENT, without a word: there is no such pin. */
int flat_is_pinned_for(struct flatiommu_device *device, uint32_t pin);
/* A bit for each BAR that the claim holds write-combined. */
int flat_wc_bars(struct flatiommu_device *device, uint32_t *bars);

/* It is VFIO that can map the buffer, or say why not. */
#define PIN_NOT_POSSIBLE 1

/*
 * The file pinned.c. can_pin(): are buffers pinned? pin_buffer(): 0, and the buffer has its segments,
 * PIN_NOT_POSSIBLE, or -errno having called fail(). unpin_buffer(): 0 or -errno. join_pins(): of a device that is
 * listed, 0 or -errno having called fail().
 */
bool can_pin(struct flatiommu *flat);
int pin_buffer(struct flatiommu *flat, struct buffer *buffer);
int unpin_buffer(struct flatiommu *flat, struct buffer *buffer);
int join_pins(struct flatiommu_device *device);

/* The file group.c: VFIO groups. */
int group_attach(struct flatiommu_device *device, const char *path, unsigned long iommu);
void group_detach(struct flatiommu_device *device);

#endif
