/* SPDX-License-Identifier: MIT */
/*
 * The calls of linux/iommufd.h and of VFIO's character devices. The headers of Linux 6.1 do not
 * have them, and IOAS_NOIOMMU_GET_PA is in headers from Linux 7.3 on.
 */
#ifndef LIB_IOMMUFD_ABI_H
#define LIB_IOMMUFD_ABI_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct ioas_alloc {
	__u32 size;
	__u32 flags;
	__u32 out_ioas_id;
};
#define IOAS_ALLOC _IO(';', 0x81)

struct ioas_range {
	__aligned_u64 start;
	__aligned_u64 last;
};

struct ioas_iova_ranges {
	__u32 size;
	__u32 ioas_id;
	__u32 num_iovas;
	__u32 reserved;
	__aligned_u64 allowed_iovas;
	__aligned_u64 out_iova_alignment;
};
#define IOAS_IOVA_RANGES _IO(';', 0x84)

struct ioas_map {
	__u32 size;
	__u32 flags;
	__u32 ioas_id;
	__u32 reserved;
	__aligned_u64 user_va;
	__aligned_u64 length;
	__aligned_u64 iova;
};
#define IOAS_MAP _IO(';', 0x85)
#define IOAS_MAP_FIXED_IOVA	1
#define IOAS_MAP_WRITEABLE	2
#define IOAS_MAP_READABLE	4

struct ioas_unmap {
	__u32 size;
	__u32 ioas_id;
	__aligned_u64 iova;
	__aligned_u64 length;
};
#define IOAS_UNMAP _IO(';', 0x86)

/* length: the bytes that are wanted, not 0; set to the bytes that are contiguous at out_phys. */
struct ioas_get_pa {
	__u32 size;
	__u32 flags;
	__u32 ioas_id;
	__u32 reserved;
	__aligned_u64 iova;
	__aligned_u64 length;
	__aligned_u64 out_phys;
};
#define IOAS_NOIOMMU_GET_PA _IO(';', 0x95)

struct cdev_bind {
	__u32 argsz;
	__u32 flags;
	__s32 iommufd;
	__u32 out_devid;
	__aligned_u64 token;	/* address of 16 bytes; from Linux 6.17 on */
};
#define CDEV_BIND_TOKEN		1
#define CDEV_BIND_IOMMUFD _IO(';', 100 + 18)

struct cdev_attach {
	__u32 argsz;
	__u32 flags;
	__u32 pt_id;
};
#define CDEV_ATTACH_IOMMUFD_PT _IO(';', 100 + 19)

#endif
