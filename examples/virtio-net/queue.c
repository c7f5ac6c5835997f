// SPDX-License-Identifier: MIT
#include "queue.h"

#include <errno.h>
#include <string.h>

int queue_init(struct queue *q, struct flatiommu_pool *pool, uint16_t number, uint16_t entries)
{
	const size_t sizes[] = {
		entries * sizeof(*q->descriptors),
		sizeof(*q->available) + entries * sizeof(q->available->ring[0]),
		sizeof(*q->used) + entries * sizeof(q->used->ring[0]),
	};
	unsigned int i;
	int err = 0;

	*q = (struct queue){ .number = number, .entries = entries, .eventfd = -1 };
	for (i = 0; i < 3 && !err; i++)
		err = flatiommu_pool_alloc(pool, sizes[i], &q->parts[i]);
	for (i = 0; i < entries && !err; i++)
		err = flatiommu_pool_alloc(pool, QUEUE_BUFFER_SIZE, &q->buffers[i]);
	if (err)
		return err;
	q->descriptors = q->parts[0].memory;
	q->available = q->parts[1].memory;
	q->used = q->parts[2].memory;
	return 0;
}

void *queue_buffer(const struct queue *q, uint16_t id)
{
	return q->buffers[id].memory;
}

void queue_put(struct queue *q, uint16_t id, uint32_t length, bool device_writes)
{
	q->descriptors[id] = (struct virtio_descriptor){
		.address = htole64(q->buffers[id].address),
		.length = htole32(length),
		.flags = htole16(device_writes ? VIRTIO_DESCRIPTOR_WRITE : 0),
	};
	q->available->ring[q->next++ % q->entries] = htole16(id);
	q->in_flight[id] = true;
}

/*
 * 2.7.13: the index comes after the entries, and after the driver's reads from buffers that it gives
 * back. The doorbell comes last, if the device wants it.
 */
void queue_notify(struct queue *q)
{
	flatiommu_mb();
	*(volatile uint16_t *)&q->available->index = htole16(q->next);
	flatiommu_mb();
	if (!(le16toh(*(volatile uint16_t *)&q->used->flags) & VIRTIO_USED_NO_NOTIFY))
		flatiommu_write16(q->doorbell, q->number);
}

int queue_take(struct queue *q, uint32_t *length)
{
	const struct virtio_used_element *used = &q->used->ring[q->seen % q->entries];
	uint32_t id;

	if (le16toh(*(volatile uint16_t *)&q->used->index) == q->seen)
		return -EAGAIN;
	/* The element, and the buffer, are read after the index. */
	flatiommu_rmb();
	/* Each is read once, and so checked as it is used. */
	id = le32toh(*(const volatile uint32_t *)&used->id);
	*length = le32toh(*(const volatile uint32_t *)&used->length);
	if (id >= q->entries || !q->in_flight[id] || *length > QUEUE_BUFFER_SIZE)
		return -EPROTO;
	q->in_flight[id] = false;
	q->seen++;
	return (int)id;
}
