// SPDX-License-Identifier: MIT
/* vfio_iommu_type1, on a real IOMMU and on flatiommu.ko. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static int start(struct flatiommu *flat)
{
	int err;

	flat->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (flat->container < 0) {
		err = -errno;
		return explain_open(flat, "", "/dev/vfio/vfio", err);
	}
	if (call(flat->container, VFIO_GET_API_VERSION, NULL) == VFIO_API_VERSION &&
	    call(flat->container, VFIO_CHECK_EXTENSION, (void *)VFIO_TYPE1v2_IOMMU) == 1)
		return 0;
	close_fd(&flat->container);
	return fail(flat, -EOPNOTSUPP, "/dev/vfio/vfio has no type1. Cure: modprobe vfio_iommu_type1");
}

static int start_flat(struct flatiommu *flat)
{
	int err = flat_open(flat);

	return err ? err : start(flat);
}

static void stop(struct flatiommu *flat)
{
	close_fd(&flat->container);
}

static int attach(struct flatiommu_device *device)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%d", device->function.group);
	return group_attach(device, path, VFIO_TYPE1v2_IOMMU);
}

static int attach_flat(struct flatiommu_device *device)
{
	/* Declare before the attach: the container may have look-up maps already. */
	int err = flat_declare(device);

	return err ? err : attach(device);
}

/* Kernels such as 6.1 do not align the capability, @from, to the 8 bytes of its members. */
static int copy_ranges(const char *from, struct iova_range **ranges)
{
	struct vfio_iommu_type1_info_cap_iova_range cap;
	struct vfio_iova_range range;
	struct iova_range *copy;
	uint32_t i;

	memcpy(&cap, from, sizeof(cap));
	copy = calloc(cap.nr_iovas, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	for (i = 0; i < cap.nr_iovas; i++) {
		memcpy(&range, from + sizeof(cap) + i * sizeof(range), sizeof(range));
		copy[i] = (struct iova_range){ range.start, range.end };
	}
	*ranges = copy;
	return (int)cap.nr_iovas;
}

static int iovas(struct flatiommu *flat, struct iova_range **ranges)
{
	struct vfio_iommu_type1_info head = { .argsz = sizeof(head) }, *info;
	const struct vfio_info_cap_header *cap;
	uint32_t at;
	int ret = call(flat->container, VFIO_IOMMU_GET_INFO, &head);

	if (ret)
		return fail(flat, ret, "VFIO_IOMMU_GET_INFO: %s", ERRNO(ret));
	info = calloc(1, head.argsz);
	if (!info)
		return fail(flat, -ENOMEM, "no memory for the ranges of IOVAs");
	info->argsz = head.argsz;
	ret = call(flat->container, VFIO_IOMMU_GET_INFO, info);
	if (ret) {
		fail(flat, ret, "VFIO_IOMMU_GET_INFO: %s", ERRNO(ret));
		goto out;
	}
	ret = -EOPNOTSUPP;
	at = info->flags & VFIO_IOMMU_INFO_CAPS ? info->cap_offset : 0;
	while (at && at <= head.argsz - sizeof(*cap)) {
		cap = (const void *)((const char *)info + at);
		if (cap->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
			ret = copy_ranges((const char *)cap, ranges);
			break;
		}
		at = cap->next;
	}
	if (ret < 0)
		fail(flat, ret, "the IOVAs that type1 accepts: %s", ERRNO(ret));
out:
	free(info);
	return ret;
}

static int map(struct flatiommu *flat, struct buffer *buffer)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = (buffer->write_only ? 0 : VFIO_DMA_MAP_FLAG_READ) |
			 (buffer->read_only ? 0 : VFIO_DMA_MAP_FLAG_WRITE),
		.vaddr = (uintptr_t)buffer->pages,
		.iova = buffer->iova,
		.size = buffer->span,
	};

	return explain_map(flat, buffer, call(flat->container, VFIO_IOMMU_MAP_DMA, &arg));
}

static int unmap(struct flatiommu *flat, struct buffer *buffer)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.iova = buffer->iova,
		.size = buffer->span,
	};
	int err = call(flat->container, VFIO_IOMMU_UNMAP_DMA, &arg);

	/* The call sets the size that it unmapped. If it is less, devices still reach the rest. */
	if (!err && arg.size != buffer->span)
		err = -EIO;
	return err;
}

const struct backend iommu_type1 = {
	.name = "iommu-type1",
	.isolated = true,
	.maps_bars = true,
	.start = start,
	.stop = stop,
	.attach = attach,
	.detach = group_detach,
	.iovas = iovas,
	.map = map,
	.unmap = unmap,
};

const struct backend flatiommu_type1 = {
	.name = "flatiommu-type1",
	.claimed = true,
	.start = start_flat,
	.stop = stop,
	.attach = attach_flat,
	.detach = group_detach,
	.iovas = iovas,
	.map = map,
	.unmap = unmap,
	.look_up = flat_look_up,
};
