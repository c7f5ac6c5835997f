// SPDX-License-Identifier: MIT
/* The end of a device, and devices that are kept after it because buffers need them. */
#include <errno.h>
#include <linux/vfio.h>

#include "internal.h"

void end_device(struct flatiommu_device *device)
{
	struct flatiommu *flat = device->flat;

	/* The kernel stops and resets it. */
	close_fd(&device->fd);
	pthread_mutex_lock(&flat->open_lock);
	detach_device(device);
	pthread_mutex_unlock(&flat->open_lock);
	pthread_mutex_destroy(&device->lock);
	forget_device(device);
}

/* Returns a stopped device that the buffers do not need, or NULL. flat->lock is held. */
static struct flatiommu_device *find_unneeded(const struct flatiommu *flat)
{
	struct flatiommu_device *device, *stopped = NULL;
	bool open = false;

	for (device = flat->devices; device; device = device->next) {
		if (device->stopped)
			stopped = device;
		else
			open = true;
	}
	return open || !flat->buffers ? stopped : NULL;
}

static struct flatiommu_device *unlink_unneeded(struct flatiommu *flat)
{
	struct flatiommu_device *device;

	pthread_mutex_lock(&flat->open_lock);
	pthread_mutex_lock(&flat->lock);
	device = find_unneeded(flat);
	if (device)
		unlink_device(device);
	pthread_mutex_unlock(&flat->lock);
	pthread_mutex_unlock(&flat->open_lock);
	return device;
}

void drop_stopped_devices(struct flatiommu *flat)
{
	struct flatiommu_device *device;

	/* First without open_lock: a free must not wait for a device that is being opened. */
	pthread_mutex_lock(&flat->lock);
	device = find_unneeded(flat);
	pthread_mutex_unlock(&flat->lock);
	if (!device)
		return;
	device = unlink_unneeded(flat);
	if (device)
		end_device(device);
}

int stop_device(struct flatiommu_device *device)
{
	bool is_imported = device->flat->backend->imported;
	int err = 0;

	pthread_mutex_lock(&device->lock);
	unmap_views(device);
	disable_irqs(device, is_imported);
	/* Another process may use an imported device: the kernel stops it at the last close. */
	if (!is_imported)
		err = set_bus_master(device, false);
	pthread_mutex_unlock(&device->lock);
	if (!err && !is_imported)
		wait_for_transactions(device);
	return err;
}

/*
 * Do buffers need this device? Without any device the kernel would unpin them, and their bus
 * addresses would change. flat->lock is held.
 */
static bool is_needed(const struct flatiommu_device *device)
{
	const struct flatiommu *flat = device->flat;

	return flat->devices == device && !device->next && flat->buffers;
}

static bool may_be_kept(const struct flatiommu_device *device)
{
	bool needed;

	pthread_mutex_lock(&device->flat->lock);
	needed = is_needed(device);
	pthread_mutex_unlock(&device->flat->lock);
	return needed;
}

/*
 * Returns whether the device is kept. If so, the caller must not use it any more: another thread
 * may free the last buffer, and with it the device.
 */
static bool unlink_or_keep(struct flatiommu_device *device)
{
	struct flatiommu *flat = device->flat;
	bool kept;

	pthread_mutex_lock(&flat->open_lock);
	pthread_mutex_lock(&flat->lock);
	kept = is_needed(device);
	if (kept)
		device->stopped = true;
	else
		unlink_device(device);
	pthread_mutex_unlock(&flat->lock);
	pthread_mutex_unlock(&flat->open_lock);
	return kept;
}

/*
 * A device that is kept is reset now. A function that is gone is not: the kernel would wait for it
 * here, and again at the close.
 */
static int close_device(struct flatiommu_device *device)
{
	unsigned int peers = count_peer_buffers(device);
	int err;

	if (peers)
		return fail(device->flat, -EBUSY, "%s: %u buffers of its BARs still exist, and "
			    "other devices may use them. Cure: free them with flatiommu_dma_free()",
			    device->name,
			    peers);
	err = stop_device(device);

	device->was_reset = !err && device->flags & VFIO_DEVICE_FLAGS_RESET &&
			    may_be_kept(device) && !call(device->fd, VFIO_DEVICE_RESET, NULL);
	if (device->was_reset)
		device_is_quiet(device);
	if (unlink_or_keep(device))
		return 1;
	end_device(device);
	return 0;
}

int flatiommu_device_close(struct flatiommu_device *device)
{
	return device ? CALL_DEVICE(device, close_device(device)) : 0;
}
