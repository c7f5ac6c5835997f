/* SPDX-License-Identifier: MIT */
/*
 * Backends: ways to reach a device, each with a table of operations. backend.c chooses one. They
 * are in type1.c, iommufd.c and noiommu.c. An operation that fails has called fail(), except
 * unmap().
 *
 * start(), stop(), attach(), detach() and iovas() are called with open_lock held. The others are
 * called without a lock: the buffer is in the list, which keeps devices attached.
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
struct sysfs_function;
struct iova_range;

struct backend {
	const char *name;
	/* An IOMMU translates: a buffer's bus address is its IOVA. */
	bool isolated;
	/*
	 * flatiommu.ko claims the functions: a claim may hold BARs write-combined, and buffers can
	 * be pinned through /dev/flatiommu instead of map().
	 */
	bool claimed;
	/* The devices are attached in another process, which also maps the buffers. */
	bool imported;
	/* The kernel compares RLIMIT_MEMLOCK with VmPin when it maps. Otherwise with VmLck. */
	bool counts_pinned;
	/* map() can map BARs of devices, too. */
	bool maps_bars;

	/* Opens and closes the container or the iommufd that devices are attached to. */
	int (*start)(struct flatiommu *flat);
	void (*stop)(struct flatiommu *flat);

	/* map() and unmap() work on each device by itself, and are called with open_lock held. */
	bool for_each_device;

	/*
	 * attach() opens device->fd, and maps all buffers for the device. detach() ends the
	 * attachment after device->fd was closed.
	 */
	int (*attach)(struct flatiommu_device *device);
	void (*detach)(struct flatiommu_device *device);

	/*
	 * Gets the IOVAs that can be used, in an array that the caller frees. Returns its length or
	 * -errno. NULL: the backend has no IOVAs.
	 */
	int (*iovas)(struct flatiommu *flat, struct iova_range **ranges);

	/* Map and unmap the buffer's pages at its IOVA. */
	int (*map)(struct flatiommu *flat, struct buffer *buffer);
	int (*unmap)(struct flatiommu *flat, struct buffer *buffer);

	/*
	 * Writes 1 to @room segments, the bus addresses of the pages from @offset on. Returns their
	 * number or -errno. NULL: the IOVA is the bus address. Otherwise an IOVA is only a key, and
	 * must lie where no memory and no PCI window is.
	 */
	int (*look_up)(struct flatiommu *flat, struct buffer *buffer, size_t offset,
		       struct flatiommu_dma_segment *segments, size_t room);
};

/*
 * The backends in the order in which they are tried: iommufd before type1, because it does not
 * limit the number of mappings. BACKEND(name, function that returns true if the backend fits a
 * device, reason for that in a message, true if it needs a VFIO character device).
 */
#define BACKENDS(BACKEND)								\
	BACKEND(iommu_iommufd, has_iommu, "its group has a real IOMMU", true)		\
	BACKEND(iommu_type1, has_iommu, "its group has a real IOMMU", false)		\
	BACKEND(flatiommu_iommufd, is_flat, "its group is one of flatiommu.ko", true)	\
	BACKEND(flatiommu_type1, is_flat, "its group is one of flatiommu.ko", false)	\
	BACKEND(noiommu_iommufd, is_noiommu_cdev, "Linux's no-IOMMU mode has it", true)	\
	BACKEND(noiommu_group, is_noiommu_group, "Linux's no-IOMMU mode has its group", false)

#define DECLARE_BACKEND(name, ...) extern const struct backend name;
BACKENDS(DECLARE_BACKEND)

/* For imported devices. It is never tried. */
extern const struct backend imported;

/*
 * Opens the device with the context's backend, or with the first one that works. Returns 0, or
 * calls fail() and returns -errno.
 */
int choose_backend(struct flatiommu_device *device);

/* Does flatiommu.ko, Linux's no-IOMMU mode or a real IOMMU have the function? */
bool is_flat(const struct sysfs_function *f);
bool is_noiommu_group(const struct sysfs_function *f);
bool is_noiommu_cdev(const struct sysfs_function *f);
bool has_iommu(const struct sysfs_function *f);

/*
 * The file devnode.c: /dev/flatiommu. After an error each function has called fail() and returns
 * -errno, unless its comment says otherwise.
 */
int flat_open(struct flatiommu *flat);
struct flatiommu_function flat_name(const struct flatiommu_device *device);
int flat_declare(struct flatiommu_device *device);
int flat_look_up(struct flatiommu *flat, struct buffer *buffer, size_t offset,
		 struct flatiommu_dma_segment *segments, size_t room);
int flat_pin(struct flatiommu_device *device, struct buffer *buffer, uint32_t *pin);
/* Does not call fail(). */
int flat_unpin(struct flatiommu *flat, uint32_t pin);
int flat_look_up_pin(struct flatiommu_device *device, uint32_t pin, size_t offset, size_t length,
		     struct flatiommu_dma_segment *segments, size_t room);
/*
 * Pins the buffer for all devices of the context, with FLATIOMMU_PIN_VFIO, and sets buffer->pin.
 * @segments gets the segments from dma.memory on. *@n is their room, and is set to their number.
 * Returns 0, PIN_NOT_POSSIBLE or -errno.
 */
int flat_pin_all(struct flatiommu *flat, struct buffer *buffer, struct flatiommu_segment *segments,
		 uint32_t *n);
/*
 * Looks up bus addresses of a pin of flat_pin_all(), from @offset on, counted from dma.memory.
 * @segments and @n are as for flat_pin_all().
 */
int flat_look_up_batch(struct flatiommu *flat, uint32_t pin, size_t offset, size_t length,
		       struct flatiommu_segment *segments, uint32_t *n);
/*
 * Is the pin for the device, too? Returns
 * 0		yes
 * -ENOENT	there is no such pin: fail() was not called
 * -EXDEV	no: the device is in another I/O address space
 * or another -errno.
 */
int flat_is_pinned_for(struct flatiommu_device *device, uint32_t pin);
/* Sets a bit in *@bars for each BAR that the claim has made write-combined. */
int flat_wc_bars(struct flatiommu_device *device, uint32_t *bars);
/*
 * Tells the module that no device of the context uses freed memory any more. Does not call fail().
 */
int flat_quiet(struct flatiommu *flat);

/* The module did not pin the buffer, so VFIO maps it. If VFIO fails, its error has the cause. */
#define PIN_NOT_POSSIBLE 1

/* The file pinned.c. Are buffers pinned through /dev/flatiommu? */
bool can_pin(struct flatiommu *flat);
/* Sets the buffer's segments. Returns 0, PIN_NOT_POSSIBLE, or calls fail() and returns -errno. */
int pin_buffer(struct flatiommu *flat, struct buffer *buffer);
/* Returns 0 or -errno. */
int unpin_buffer(struct flatiommu *flat, struct buffer *buffer);
/*
 * Checks that the pins are for a device, which is in the list. Returns 0, or calls fail() and
 * returns -errno.
 */
int join_pins(struct flatiommu_device *device);

/* The file group.c: VFIO groups. */
int group_attach(struct flatiommu_device *device, const char *path, unsigned long iommu);
void group_detach(struct flatiommu_device *device);

#endif
