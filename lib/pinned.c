// SPDX-License-Identifier: MIT
/*
 * Buffers on flatiommu.ko are pinned through /dev/flatiommu. It pins a huge page at once, while
 * VFIO pins each 4 KiB of it, and it returns the bus addresses in the same call. As with memory
 * that VFIO has mapped, the kernel unpins it only after the devices are stopped and reset, in
 * whatever order files are closed (FLATIOMMU_PIN_VFIO in linux/flatiommu.h). VFIO maps memory that
 * the module cannot pin, such as memory of a device.
 */
#include <errno.h>
#include <linux/flatiommu.h>
#include <stdlib.h>

#include "internal.h"

#define BATCH 4096	/* segments in a call */

/* A growing array of a buffer's segments. */
struct list {
	struct flatiommu_dma_segment *segments;
	size_t count;
	size_t room;
	size_t bytes;	/* sum of the segments' lengths */
};

static int reserve(struct list *list, size_t more)
{
	size_t room = list->room * 2 > list->count + more ? list->room * 2 : list->count + more;
	struct flatiommu_dma_segment *segments;

	if (list->room >= list->count + more)
		return 0;
	segments = realloc(list->segments, room * sizeof(*segments));
	if (!segments)
		return -ENOMEM;
	list->segments = segments;
	list->room = room;
	return 0;
}

/*
 * Adds segments, up to @max bytes in the list: the last page may go on after the end of the buffer.
 * Merges neighbours.
 */
static int add(struct list *list, const struct flatiommu_segment *batch, size_t n, size_t max)
{
	size_t i;
	int err = reserve(list, n);

	for (i = 0; !err && i < n && list->bytes < max; i++) {
		struct flatiommu_dma_segment *last =
			list->count ? &list->segments[list->count - 1] : NULL;
		uint64_t length = batch[i].length;

		if (length > max - list->bytes)
			length = max - list->bytes;
		if (last && last->address + last->length == batch[i].address)
			last->length += length;
		else
			list->segments[list->count++] =
				(struct flatiommu_dma_segment){ batch[i].address, length };
		list->bytes += length;
	}
	return err;
}

static void shrink(struct list *list)
{
	struct flatiommu_dma_segment *less = realloc(list->segments, list->count * sizeof(*less));

	if (less)
		list->segments = less;
}

/* Adds the segments that PIN has returned, and looks the rest up. */
static int read_segments(struct flatiommu *flat, struct buffer *buffer, struct list *list,
			 struct flatiommu_segment *batch, uint32_t room, uint32_t n)
{
	size_t length = buffer->dma.length;
	int err = add(list, batch, n, length);

	while (!err && list->bytes < length) {
		n = room;
		err = flat_look_up_batch(flat, buffer->pin, list->bytes, length - list->bytes,
					 batch, &n);
		if (err)
			return err;
		err = n ? add(list, batch, n, length) : -EIO;
	}
	return err ? fail(flat, err, "the segments of a buffer: %s", ERRNO(err)) : 0;
}

bool can_pin(struct flatiommu *flat)
{
	bool can;

	pthread_mutex_lock(&flat->lock);
	can = flat->backend && flat->backend->claimed && flat->pins;
	pthread_mutex_unlock(&flat->lock);
	return can;
}

int pin_buffer(struct flatiommu *flat, struct buffer *buffer)
{
	size_t most = buffer->span / buffer->dma.page_size;
	uint32_t room = most < BATCH ? (uint32_t)most : BATCH, n = room;
	struct list list = { 0 };
	struct flatiommu_segment *batch;
	int err, left;

	if (!can_pin(flat))
		return PIN_NOT_POSSIBLE;
	batch = calloc(room, sizeof(*batch));
	if (!batch)
		return fail(flat, -ENOMEM, "no memory for the segments of a buffer");
	err = flat_pin_all(flat, buffer, batch, &n);
	if (!err) {
		err = read_segments(flat, buffer, &list, batch, room, n);
		left = err ? unpin_buffer(flat, buffer) : 0;
		if (left)
			keep_memory(flat, buffer, left);
	}
	free(batch);
	if (err) {
		free(list.segments);
		return err;
	}
	shrink(&list);
	buffer->dma.segments = list.segments;
	buffer->dma.nr_segments = list.count;
	return 0;
}

int unpin_buffer(struct flatiommu *flat, struct buffer *buffer)
{
	uint32_t pin = buffer->pin;

	/* First, because the kernel may give the number to another pin after the call. */
	pthread_mutex_lock(&flat->lock);
	buffer->pin = 0;
	pthread_mutex_unlock(&flat->lock);
	return flat_unpin(flat, pin);
}

static uint32_t any_pin(struct flatiommu *flat)
{
	const struct buffer *buffer;
	uint32_t pin = 0;

	pthread_mutex_lock(&flat->lock);
	for (buffer = flat->buffers; buffer && !pin; buffer = buffer->next)
		pin = buffer->pin;
	pthread_mutex_unlock(&flat->lock);
	return pin;
}

/* All pins are in one I/O address space, so it is enough to check one of them. */
int join_pins(struct flatiommu_device *device)
{
	uint32_t pin;
	int err;

	/* -ENOENT: the pin has ended meanwhile. Try another one. */
	do {
		pin = any_pin(device->flat);
		err = pin ? flat_is_pinned_for(device, pin) : 0;
	} while (err == -ENOENT);
	return err;
}
