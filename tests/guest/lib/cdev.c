// SPDX-License-Identifier: MIT
#include "cdev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "mem.h"
#include "sysfs.h"

#define IOMMUFD_IO(number) _IO(';', number)

struct iommu_destroy {
	__u32 size;
	__u32 id;
};
#define IOMMU_DESTROY IOMMUFD_IO(0x80)

struct iommu_ioas_alloc {
	__u32 size;
	__u32 flags;
	__u32 out_ioas_id;
};
#define IOMMU_IOAS_ALLOC IOMMUFD_IO(0x81)

struct iommu_ioas_copy {
	__u32 size;
	__u32 flags;
	__u32 dst_ioas_id;
	__u32 src_ioas_id;
	__aligned_u64 length;
	__aligned_u64 dst_iova;
	__aligned_u64 src_iova;
};
#define IOMMU_IOAS_COPY IOMMUFD_IO(0x83)

struct iommu_ioas_map {
	__u32 size;
	__u32 flags;
	__u32 ioas_id;
	__u32 reserved;
	__aligned_u64 user_va;
	__aligned_u64 length;
	__aligned_u64 iova;
};
#define IOMMU_IOAS_MAP IOMMUFD_IO(0x85)
#define IOMMU_IOAS_MAP_FIXED_IOVA 1
#define IOMMU_IOAS_MAP_WRITEABLE 2
#define IOMMU_IOAS_MAP_READABLE 4

struct iommu_ioas_unmap {
	__u32 size;
	__u32 ioas_id;
	__aligned_u64 iova;
	__aligned_u64 length;
};
#define IOMMU_IOAS_UNMAP IOMMUFD_IO(0x86)

struct iommu_hwpt_alloc {
	__u32 size;
	__u32 flags;
	__u32 dev_id;
	__u32 pt_id;
	__u32 out_hwpt_id;
	__u32 reserved;
};
#define IOMMU_HWPT_ALLOC IOMMUFD_IO(0x89)

#define IOMMU_IOAS_NOIOMMU_GET_PA IOMMUFD_IO(0x95)

#define MAP_TRIES 5

static int result(int ret)
{
	return ret < 0 ? -errno : ret;
}

bool cdev_is_there(void)
{
	/* A module or built in: it registers the node either way. */
	if (module_probe("iommufd") || module_probe("vfio-pci"))
		return false;
	return !access("/dev/iommu", F_OK) && !access("/sys/class/vfio-dev", F_OK);
}

bool noiommu_cdev_is_there(void)
{
	/* Without a size: what knows the call says that, and what does not ENOTTY. */
	struct {
		__u32 size;
	} get_pa = { 0 };
	int fd = cdev_is_there() ? open("/dev/iommu", O_RDWR | O_CLOEXEC) : -1, err;

	if (fd < 0)
		return false;
	err = ioctl(fd, IOMMU_IOAS_NOIOMMU_GET_PA, &get_pa) ? errno : 0;
	close(fd);
	return err != ENOTTY;
}

int cdev_path(const char *bdf, char *path, size_t size)
{
	char pattern[128], found[256];
	int ret;

	snprintf(pattern, sizeof(pattern), "/sys/bus/pci/devices/%s/vfio-dev/*vfio*", bdf);
	ret = find_path(pattern, found, sizeof(found));
	if (!ret)
		snprintf(path, size, "/dev/vfio/devices/%s", last_part(found));
	return ret;
}

int iommufd_open(void)
{
	return result(open("/dev/iommu", O_RDWR | O_CLOEXEC));
}

int iommufd_alloc_ioas(int iommufd)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };
	int ret = result(ioctl(iommufd, IOMMU_IOAS_ALLOC, &arg));

	return ret ? ret : (int)arg.out_ioas_id;
}

int iommufd_alloc_hwpt(int iommufd, uint32_t device, uint32_t ioas)
{
	struct iommu_hwpt_alloc arg = { .size = sizeof(arg), .dev_id = device, .pt_id = ioas };
	int ret = result(ioctl(iommufd, IOMMU_HWPT_ALLOC, &arg));

	return ret ? ret : (int)arg.out_hwpt_id;
}

int iommufd_destroy(int iommufd, uint32_t id)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = id };

	return result(ioctl(iommufd, IOMMU_DESTROY, &arg));
}

int iommufd_map(int iommufd, uint32_t ioas, const void *addr, uint64_t iova, size_t size)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE |
			 IOMMU_IOAS_MAP_READABLE,
		.ioas_id = ioas,
		.user_va = (uintptr_t)addr,
		.length = size,
		.iova = iova,
	};

	return result(ioctl(iommufd, IOMMU_IOAS_MAP, &arg));
}

int iommufd_map_at_bus(int iommufd, uint32_t ioas, const void *addr, size_t size, uint64_t *bus)
{
	int ret = -EADDRNOTAVAIL, tries;

	for (tries = 0; ret == -EADDRNOTAVAIL && tries < MAP_TRIES; tries++) {
		*bus = bus_address(addr);
		ret = iommufd_map(iommufd, ioas, addr, *bus, size);
		/* A refusal of the right address is a refusal. */
		if (ret == -EADDRNOTAVAIL && bus_address(addr) == *bus)
			break;
	}
	return ret;
}

int iommufd_copy(int iommufd, uint32_t from, uint64_t from_iova, uint32_t to, uint64_t iova, size_t size)
{
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE |
			 IOMMU_IOAS_MAP_READABLE,
		.dst_ioas_id = to,
		.src_ioas_id = from,
		.length = size,
		.dst_iova = iova,
		.src_iova = from_iova,
	};

	return result(ioctl(iommufd, IOMMU_IOAS_COPY, &arg));
}

int iommufd_unmap(int iommufd, uint32_t ioas, uint64_t iova, size_t size)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg),
		.ioas_id = ioas,
		.iova = iova,
		.length = size,
	};

	return result(ioctl(iommufd, IOMMU_IOAS_UNMAP, &arg));
}

int cdev_open(const char *bdf)
{
	char path[64];
	int ret = cdev_path(bdf, path, sizeof(path));

	return ret ? ret : result(open(path, O_RDWR | O_CLOEXEC));
}

int cdev_bind(int cdev, int iommufd)
{
	struct vfio_device_bind_iommufd arg = { .argsz = sizeof(arg), .iommufd = iommufd };
	int ret = result(ioctl(cdev, VFIO_DEVICE_BIND_IOMMUFD, &arg));

	return ret ? ret : (int)arg.out_devid;
}

int cdev_attach(int cdev, uint32_t to)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = sizeof(arg), .pt_id = to };

	return result(ioctl(cdev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg));
}

int cdev_detach(int cdev)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg) };

	return result(ioctl(cdev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg));
}
