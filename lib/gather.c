// SPDX-License-Identifier: MIT
/* Segments of a part of a buffer, for a device. Nothing here takes a lock or enters the kernel. */
#include <errno.h>

#include "internal.h"

/* Returns the segment that contains @offset, which is below the length. */
static size_t segment_at(const struct buffer *buffer, size_t offset)
{
	size_t low = 0, high = buffer->dma.nr_segments - 1;

	while (low < high) {
		size_t middle = high - (high - low) / 2;

		if (buffer->starts[middle] > offset)
			high = middle - 1;
		else
			low = middle;
	}
	return low;
}

static bool is_power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

/* Returns how many of the @length bytes at @address fit into one segment of the device. */
static uint64_t cut(const struct flatiommu_dma_limits *limits, uint64_t address, uint64_t length)
{
	if (limits->max_length && length > limits->max_length) {
		length = limits->max_length;
		/* The next segment must be aligned, too. */
		if (limits->alignment)
			length &= ~(limits->alignment - 1);
	}
	if (limits->boundary) {
		uint64_t left = limits->boundary - (address & (limits->boundary - 1));

		if (length > left)
			length = left;
	}
	return length;
}

static int check_limits(const struct flatiommu_dma_limits *limits)
{
	if ((limits->boundary && !is_power_of_two(limits->boundary)) ||
	    (limits->alignment && !is_power_of_two(limits->alignment)) || limits->address_bits > 64)
		return -EINVAL;
	if ((limits->boundary && limits->boundary < limits->alignment) ||
	    (limits->max_length && limits->max_length < limits->alignment))
		return -EINVAL;
	return limits->flags || limits->reserved[0] || limits->reserved[1] || limits->reserved[2] ||
	       limits->reserved[3] ? -EOPNOTSUPP : 0;
}

static int check_segment(const struct flatiommu_dma_limits *limits, uint64_t address,
			 uint64_t length)
{
	uint32_t bits = limits->address_bits;

	if (limits->alignment && (address | length) & (limits->alignment - 1))
		return -EADDRNOTAVAIL;
	if (bits && bits < 64 && (address + (length - 1)) >> bits)
		return -ERANGE;
	return 0;
}

int flatiommu_dma_gather(const struct flatiommu_dma *dma, size_t offset, size_t length,
			 const struct flatiommu_dma_limits *limits,
			 struct flatiommu_dma_segment *segments, size_t *nr_segments)
{
	static const struct flatiommu_dma_limits none;
	const struct buffer *buffer = dma ? buffer_of(dma) : NULL;
	size_t i, count = 0, room;
	int err;

	if (!dma || !segments || !nr_segments || !length || offset > dma->length ||
	    length > dma->length - offset)
		return -EINVAL;
	if (!limits)
		limits = &none;
	err = check_limits(limits);
	if (err)
		return err;
	room = *nr_segments;
	for (i = segment_at(buffer, offset); length; i++) {
		uint64_t skip = offset - buffer->starts[i];
		uint64_t address = dma->segments[i].address + skip;
		uint64_t left = dma->segments[i].length - skip;

		if (left > length)
			left = length;
		offset += left;
		length -= left;
		while (left) {
			uint64_t part = cut(limits, address, left);

			err = check_segment(limits, address, part);
			if (err)
				return err;
			if (count < room)
				segments[count] = (struct flatiommu_dma_segment){ address, part };
			count++;
			address += part;
			left -= part;
		}
	}
	*nr_segments = count;
	return count > room ? -ENOSPC : 0;
}
