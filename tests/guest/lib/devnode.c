// SPDX-License-Identifier: MIT
#include "devnode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>

int flat_open(void)
{
	int fd = open("/dev/flatiommu", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int flat_call(int fd, unsigned long call, void *arg)
{
	return ioctl(fd, call, arg) < 0 ? -errno : 0;
}

struct flatiommu_function flat_function(const char *bdf)
{
	unsigned int segment = 0, bus = 0, device = 0, function = 0;

	sscanf(bdf, "%x:%x:%x.%x", &segment, &bus, &device, &function);
	return (struct flatiommu_function){
		.segment = segment,
		.bus = (__u8)bus,
		.devfn = (__u8)(device << 3 | function),
	};
}

int flat_state(int fd, const char *bdf)
{
	struct flatiommu_info arg = {
		.size = sizeof(arg),
		.flags = FLATIOMMU_INFO_FUNCTION,
		.function = flat_function(bdf),
	};
	int ret = flat_call(fd, FLATIOMMU_INFO, &arg);

	return ret ? ret : (int)arg.out_state;
}

int flat_state_of_group(int fd, int group)
{
	struct flatiommu_info arg = {
		.size = sizeof(arg),
		.flags = FLATIOMMU_INFO_GROUP,
		.group = group,
	};
	int ret = flat_call(fd, FLATIOMMU_INFO, &arg);

	return ret ? ret : (int)arg.out_state;
}

int flat_declare(int fd, const char *bdf)
{
	struct flatiommu_function function = flat_function(bdf);
	struct flatiommu_declare arg = {
		.size = sizeof(arg),
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
	};

	return flat_call(fd, FLATIOMMU_DECLARE, &arg);
}

static int look_up(int fd, struct flatiommu_lookup arg, struct flatiommu_segment *segments,
		   unsigned int room)
{
	uint64_t length = arg.length;
	unsigned int count = 0;
	int ret;

	while (length) {
		if (count == room)
			return -ENOSPC;
		arg.size = sizeof(arg);
		arg.length = length;
		arg.nr_segments = room - count;
		arg.segments = (uintptr_t)(segments + count);
		ret = flat_call(fd, FLATIOMMU_LOOKUP, &arg);
		if (ret)
			return ret;
		arg.start += arg.length;
		length -= arg.length;
		count += arg.nr_segments;
	}
	return (int)count;
}

int flat_lookup(int fd, const char *bdf, uint64_t iova, uint64_t length,
		struct flatiommu_segment *segments, unsigned int room)
{
	struct flatiommu_lookup arg = {
		.function = flat_function(bdf),
		.start = iova,
		.length = length,
	};

	return look_up(fd, arg, segments, room);
}

int flat_lookup_pin(int fd, const char *bdf, uint32_t pin, uint64_t start, uint64_t length,
		    struct flatiommu_segment *segments, unsigned int room)
{
	struct flatiommu_lookup arg = {
		.flags = FLATIOMMU_LOOKUP_PIN,
		.function = flat_function(bdf),
		.pin = pin,
		.start = start,
		.length = length,
	};

	return look_up(fd, arg, segments, room);
}

uint64_t flat_address(int fd, const char *bdf, uint64_t iova)
{
	struct flatiommu_segment segment;

	return flat_lookup(fd, bdf, iova, 1, &segment, 1) == 1 ? segment.address : 0;
}

uint64_t flat_address_in_pin(int fd, const char *bdf, uint32_t pin, uint64_t offset)
{
	struct flatiommu_segment segment;

	return flat_lookup_pin(fd, bdf, pin, offset, 1, &segment, 1) == 1 ? segment.address : 0;
}

int flat_pin(int fd, const char *bdf, const void *addr, uint64_t length, uint32_t flags,
	     uint32_t *pin)
{
	struct flatiommu_function function = flat_function(bdf);
	struct flatiommu_pin arg = {
		.size = sizeof(arg),
		.flags = flags,
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
		.vaddr = (uintptr_t)addr,
		.length = length,
	};
	int ret = flat_call(fd, FLATIOMMU_PIN, &arg);

	*pin = arg.out_pin;
	return ret;
}

int flat_unpin(int fd, uint32_t pin)
{
	struct flatiommu_unpin arg = { .size = sizeof(arg), .pin = pin };

	return flat_call(fd, FLATIOMMU_UNPIN, &arg);
}

int flat_alloc(int fd, const char *bdf, uint64_t length, unsigned int bits, int node, uint32_t flags)
{
	struct flatiommu_alloc arg = {
		.size = sizeof(arg),
		.flags = flags,
		.function = flat_function(bdf),
		.address_bits = bits,
		.node = node,
		.length = length,
	};
	int ret = flat_call(fd, FLATIOMMU_ALLOC, &arg);

	return ret ? ret : arg.out_fd;
}
