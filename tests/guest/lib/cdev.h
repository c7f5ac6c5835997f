/* SPDX-License-Identifier: MIT */
/*
 * VFIO's character devices and iommufd (Linux 6.6). Debian 12's headers are older than both, so the
 * used parts of linux/vfio.h and linux/iommufd.h are here and in cdev.c.
 */
#ifndef TEST_CDEV_H
#define TEST_CDEV_H

#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfio.h"

#define IOMMUFD_UNSAFE "/sys/module/iommufd/parameters/allow_unsafe_interrupts"

#ifndef VFIO_DEVICE_BIND_IOMMUFD
struct vfio_device_bind_iommufd {
	__u32 argsz;
	__u32 flags;
	__s32 iommufd;
	__u32 out_devid;
};
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)

struct vfio_device_attach_iommufd_pt {
	__u32 argsz;
	__u32 flags;
	__u32 pt_id;
};
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)

struct vfio_device_detach_iommufd_pt {
	__u32 argsz;
	__u32 flags;
};
#define VFIO_DEVICE_DETACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 20)
#endif

/* Does this kernel have both? */
bool cdev_is_there(void);
/* Does it have iommufd's own no-IOMMU mode (Linux 7.3)? */
bool noiommu_cdev_is_there(void);
/* Gets the node of a function on vfio-pci. Returns 0 or -errno. */
int cdev_path(const char *bdf, char *path, size_t size);

/* These return 0, an id or a file descriptor, or -errno. */
int iommufd_open(void);
int iommufd_alloc_ioas(int iommufd);
int iommufd_alloc_hwpt(int iommufd, uint32_t device, uint32_t ioas);
int iommufd_destroy(int iommufd, uint32_t id);
int iommufd_map(int iommufd, uint32_t ioas, const void *addr, uint64_t iova, size_t size);
int iommufd_map_at_bus(int iommufd, uint32_t ioas, const void *addr, size_t size, uint64_t *bus);
int iommufd_copy(int iommufd, uint32_t from, uint64_t from_iova, uint32_t to, uint64_t iova, size_t size);
int iommufd_unmap(int iommufd, uint32_t ioas, uint64_t iova, size_t size);

int cdev_open(const char *bdf);
/* Returns the device's id. */
int cdev_bind(int cdev, int iommufd);
int cdev_attach(int cdev, uint32_t to);
int cdev_detach(int cdev);

#endif
