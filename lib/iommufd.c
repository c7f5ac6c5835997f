// SPDX-License-Identifier: MIT
/*
 * iommufd and VFIO's character devices: on a real IOMMU, on flatiommu.ko, and in Linux 7.3's
 * no-IOMMU mode, where an IOVA is only a key to ask the kernel for addresses.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"
#include "iommufd_abi.h"

static int start(struct flatiommu *flat)
{
	struct ioas_alloc ioas = { .size = sizeof(ioas) };
	int err;

	flat->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (flat->iommufd < 0) {
		err = -errno;
		return explain_open(flat, "", "/dev/iommu", err);
	}
	err = call(flat->iommufd, IOAS_ALLOC, &ioas);
	if (err) {
		close_fd(&flat->iommufd);
		return fail(flat, err, "IOMMU_IOAS_ALLOC: %s", ERRNO(err));
	}
	flat->ioas = ioas.out_ioas_id;
	return 0;
}

static int start_flat(struct flatiommu *flat)
{
	int err = flat_open(flat);

	return err ? err : start(flat);
}

static void stop(struct flatiommu *flat)
{
	close_fd(&flat->iommufd);
}

static int explain_bind(struct flatiommu_device *device, const char *path, int err)
{
	/* EINVAL means here that the device is open elsewhere: our other arguments are valid. */
	if (err == -EINVAL)
		err = -EBUSY;
	if (err == -EBUSY)
		return fail(device->flat, err, "%s: VFIO_DEVICE_BIND_IOMMUFD: %s: %s", device->name,
			    ERRNO(err),
			    is_open_here(path) ? why_busy(path) :
						 why_group_busy(&device->function));
	if (err == -EACCES)
		return explain_token(device, "VFIO_DEVICE_BIND_IOMMUFD");
	return explain_attach(device, "VFIO_DEVICE_BIND_IOMMUFD", err, "iommufd");
}

/* A token fails with -EINVAL if the function needs none, or the kernel knows none in this call. */
static int bind_device(struct flatiommu_device *device)
{
	struct cdev_bind bind = { .argsz = sizeof(bind), .iommufd = device->flat->iommufd };
	uint8_t token[16];
	int err = -EINVAL;

	if (device->token[0]) {
		token_bytes(device, token);
		bind.flags = CDEV_BIND_TOKEN;
		bind.token = (uintptr_t)token;
		err = call(device->fd, CDEV_BIND_IOMMUFD, &bind);
	}
	if (err != -EINVAL)
		return err;
	bind.flags = 0;
	bind.token = 0;
	return call(device->fd, CDEV_BIND_IOMMUFD, &bind);
}

static int attach(struct flatiommu_device *device)
{
	struct flatiommu *flat = device->flat;
	struct cdev_attach arg = { .argsz = sizeof(arg), .pt_id = flat->ioas };
	char path[64];
	int err;

	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", device->function.cdev);
	device->fd = open(path, O_RDWR | O_CLOEXEC);
	if (device->fd < 0) {
		err = -errno;
		return explain_open(flat, device->name, path, err);
	}
	err = bind_device(device);
	if (err) {
		/* Close our file first, or is_open_here() would find it. */
		close_fd(&device->fd);
		return explain_bind(device, path, err);
	}
	err = call(device->fd, CDEV_ATTACH_IOMMUFD_PT, &arg);
	if (err) {
		explain_attach(device, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", err, "iommufd");
		close_fd(&device->fd);
	}
	return err;
}

static int attach_flat(struct flatiommu_device *device)
{
	/* Declare before the attach: the IOAS may have look-up maps already. */
	int err = flat_declare(device);

	return err ? err : attach(device);
}

/* Closing the device's file has detached it. */
static void detach(struct flatiommu_device *device)
{
	(void)device;
}

static int iovas(struct flatiommu *flat, struct iova_range **ranges)
{
	struct ioas_iova_ranges arg = { .size = sizeof(arg), .ioas_id = flat->ioas };
	struct iova_range *list = NULL;
	int err;

	/* Without an array the call fails with EMSGSIZE and sets the length that is needed. */
	err = call(flat->iommufd, IOAS_IOVA_RANGES, &arg);
	if (err == -EMSGSIZE) {
		list = calloc(arg.num_iovas, sizeof(*list));
		if (!list)
			return fail(flat, -ENOMEM, "no memory for the ranges of IOVAs");
		arg.allowed_iovas = (uintptr_t)list;
		err = call(flat->iommufd, IOAS_IOVA_RANGES, &arg);
	}
	if (err) {
		free(list);
		return fail(flat, err, "IOMMU_IOAS_IOVA_RANGES: %s", ERRNO(err));
	}
	*ranges = list;
	return (int)arg.num_iovas;
}

static int map(struct flatiommu *flat, struct buffer *buffer)
{
	struct ioas_map arg = {
		.size = sizeof(arg),
		.flags = IOAS_MAP_FIXED_IOVA | (buffer->write_only ? 0 : IOAS_MAP_READABLE) |
			 (buffer->read_only ? 0 : IOAS_MAP_WRITEABLE),
		.ioas_id = flat->ioas,
		.user_va = (uintptr_t)buffer->pages,
		.length = buffer->span,
		.iova = buffer->iova,
	};

	return explain_map(flat, buffer, call(flat->iommufd, IOAS_MAP, &arg));
}

static int unmap(struct flatiommu *flat, struct buffer *buffer)
{
	struct ioas_unmap arg = {
		.size = sizeof(arg),
		.ioas_id = flat->ioas,
		.iova = buffer->iova,
		.length = buffer->span,
	};

	return call(flat->iommufd, IOAS_UNMAP, &arg);
}

static int explain_get_pa(struct flatiommu *flat, const char *memory, int err)
{
	const char *why = err == -EPERM ? why_no_rawio() : NULL;

	return fail(flat, err, "bus addresses of %p: IOMMU_IOAS_NOIOMMU_GET_PA: %s%s%s", (const void *)memory,
		    ERRNO(err), why ? ": " : "", why ? why : "");
}

/* Returns one segment for each call. On a PC the bus address is the physical address. */
static int get_pa(struct flatiommu *flat, struct buffer *buffer, size_t offset,
		  struct flatiommu_dma_segment *segments, size_t room)
{
	struct ioas_get_pa arg = {
		.size = sizeof(arg),
		.ioas_id = flat->ioas,
		.iova = buffer->iova + offset,
		.length = buffer->span - offset,
	};
	int err = call(flat->iommufd, IOAS_NOIOMMU_GET_PA, &arg);

	(void)room;
	if (!err && (!arg.length || arg.length > buffer->span - offset))
		err = -EIO;
	if (err)
		return explain_get_pa(flat, buffer->pages + offset, err);
	segments[0] = (struct flatiommu_dma_segment){ arg.out_phys, arg.length };
	return 1;
}

const struct backend iommu_iommufd = {
	.name = "iommu-iommufd",
	.isolated = true,
	.counts_pinned = true,
	.start = start,
	.stop = stop,
	.attach = attach,
	.detach = detach,
	.iovas = iovas,
	.map = map,
	.unmap = unmap,
};

const struct backend flatiommu_iommufd = {
	.name = "flatiommu-iommufd",
	.claimed = true,
	.counts_pinned = true,
	.start = start_flat,
	.stop = stop,
	.attach = attach_flat,
	.detach = detach,
	.iovas = iovas,
	.map = map,
	.unmap = unmap,
	.look_up = flat_look_up,
};

const struct backend noiommu_iommufd = {
	.name = "noiommu-iommufd",
	.counts_pinned = true,
	.start = start,
	.stop = stop,
	.attach = attach,
	.detach = detach,
	.iovas = iovas,
	.map = map,
	.unmap = unmap,
	.look_up = get_pa,
};
