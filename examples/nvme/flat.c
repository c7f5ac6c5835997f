// SPDX-License-Identifier: MIT
/*
 * FLATIOMMU_DECLARE and FLATIOMMU_LOOKUP.
 */
#define _GNU_SOURCE 1
#include "flat.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/flatiommu.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "log.h"

static struct flatiommu_function function_of(const char *bdf)
{
	unsigned int segment = 0, bus = 0, device = 0, function = 0;

	sscanf(bdf, "%x:%x:%x.%x", &segment, &bus, &device, &function);
	return (struct flatiommu_function){
		.segment = segment,
		.bus = (__u8)bus,
		.devfn = (__u8)(device << 3 | function),
	};
}

int flat_open(const char *bdf)
{
	struct flatiommu_function function = function_of(bdf);
	struct flatiommu_declare declare = {
		.size = sizeof(declare),
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
	};
	int fd = open("/dev/flatiommu", O_RDWR | O_CLOEXEC);
	int err = 0;

	if (fd < 0) {
		err = -errno;
		log_error("/dev/flatiommu: %s%s", strerror(-err), err == -EPERM || err == -EACCES ?
			  ". Cure: run as root (CAP_SYS_RAWIO)" : "");
		return err;
	}
	if (ioctl(fd, FLATIOMMU_DECLARE, &declare)) {
		err = -errno;
		log_error("%s: FLATIOMMU_DECLARE: %s (the kernel log may say more)", bdf,
			  strerror(-err));
		close(fd);
		return err;
	}
	return fd;
}

int flat_bus_address(int flat, const char *bdf, uint64_t iova, size_t size, uint64_t *bus)
{
	struct flatiommu_segment segment;
	struct flatiommu_lookup lookup = {
		.size = sizeof(lookup),
		.function = function_of(bdf),
		.nr_segments = 1,
		.start = iova,
		.length = size,
		.segments = (uintptr_t)&segment,
	};
	int err;

	if (ioctl(flat, FLATIOMMU_LOOKUP, &lookup)) {
		err = -errno;
		log_error("%s: FLATIOMMU_LOOKUP: %s", bdf, strerror(-err));
		return err;
	}
	if (lookup.length != size) {
		log_error("%s: %zu bytes of memory are not contiguous on the bus", bdf, size);
		return -ERANGE;
	}
	*bus = segment.address;
	return 0;
}
