// SPDX-License-Identifier: MIT
/*
 * Linux's no-IOMMU groups, which map and pin nothing: memory is pinned through /dev/flatiommu,
 * separately for each device, so that a closed device can be given to another program.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

static int start(struct flatiommu *flat)
{
	int err = flat_open(flat);

	if (err)
		return err;
	flat->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (flat->container >= 0)
		return 0;
	err = -errno;
	return explain_open(flat, "", "/dev/vfio/vfio", err);
}

static void stop(struct flatiommu *flat)
{
	close_fd(&flat->container);
}

static int pin(struct flatiommu_device *device, struct buffer *buffer)
{
	struct pin *new = calloc(1, sizeof(*new));
	int err;

	if (!new)
		return fail(device->flat, -ENOMEM, "%s: no memory for a pin", device->name);
	err = flat_pin(device, buffer, &new->id);
	if (err) {
		free(new);
		return err;
	}
	new->device = device;
	new->next = buffer->pins;
	buffer->pins = new;
	return 0;
}

/*
 * Ends the pins of @device, or of all devices if it is NULL. Goes on after an error, and returns
 * the first one.
 */
static int unpin(struct flatiommu *flat, struct buffer *buffer,
		 const struct flatiommu_device *device)
{
	struct pin **link = &buffer->pins;
	int err = 0;

	while (*link) {
		struct pin *pin = *link;
		int ret;

		if (device && pin->device != device) {
			link = &pin->next;
			continue;
		}
		*link = pin->next;
		ret = flat_unpin(flat, pin->id);
		if (!err)
			err = ret;
		free(pin);
	}
	return err;
}

static void detach(struct flatiommu_device *device)
{
	struct buffer *buffer;

	/* The kernel has stopped the device when its file was closed. */
	group_detach(device);
	for (buffer = device->flat->buffers; buffer; buffer = buffer->next)
		unpin(device->flat, buffer, device);
}

static int attach(struct flatiommu_device *device)
{
	struct buffer *buffer;
	char path[32];
	int err;

	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", device->function.group);
	err = group_attach(device, path, VFIO_NOIOMMU_IOMMU);
	if (err)
		return err;
	for (buffer = device->flat->buffers; buffer; buffer = buffer->next) {
		err = buffer->bus ? 0 : pin(device, buffer);
		if (err) {
			close_fd(&device->fd);
			detach(device);
			return err;
		}
	}
	return 0;
}

/* Has no other buffer any pins? */
static bool is_last(const struct flatiommu *flat, const struct buffer *buffer)
{
	const struct buffer *other;

	for (other = flat->buffers; other; other = other->next)
		if (other != buffer && other->pins)
			return false;
	return true;
}

/*
 * With the last pin of a function the kernel clears its bus mastering, in case that the device
 * still uses the memory. A program that frees a buffer has made sure that it does not, so bus
 * mastering is set again. device->lock makes flatiommu_bus_master() of another thread wait until
 * then.
 */
static int unmap(struct flatiommu *flat, struct buffer *buffer)
{
	/* open_lock is held, so neither list changes: buffers change under it with this backend. */
	bool last = is_last(flat, buffer);
	struct flatiommu_device *device;
	int err;

	for (device = flat->devices; last && device; device = device->next) {
		pthread_mutex_lock(&device->lock);
		device->was_master = is_bus_master(device);
	}
	err = unpin(flat, buffer, NULL);
	for (device = flat->devices; last && device; device = device->next) {
		if (device->was_master)
			set_bus_master(device, true);
		pthread_mutex_unlock(&device->lock);
	}
	return err;
}

static int map(struct flatiommu *flat, struct buffer *buffer)
{
	struct flatiommu_device *device;
	int err, left;

	for (device = flat->devices; device; device = device->next) {
		err = pin(device, buffer);
		if (err) {
			left = unmap(flat, buffer);
			if (left)
				keep_memory(flat, buffer, left);
			return err;
		}
	}
	return 0;
}

static int look_up(struct flatiommu *flat, struct buffer *buffer, size_t offset,
		   struct flatiommu_dma_segment *segments, size_t room)
{
	const struct pin *pin = buffer->pins;

	(void)flat;
	return flat_look_up_pin(pin->device, pin->id, offset, buffer->span - offset, segments,
				room);
}

const struct backend noiommu_group = {
	.name = "noiommu-group",
	.for_each_device = true,
	.start = start,
	.stop = stop,
	.attach = attach,
	.detach = detach,
	.map = map,
	.unmap = unmap,
	.look_up = look_up,
};
