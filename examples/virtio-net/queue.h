/* SPDX-License-Identifier: MIT */
/*
 * A split virtqueue (2.7) whose descriptors have a buffer each, for good. One thread uses it.
 */
#ifndef EXAMPLE_QUEUE_H
#define EXAMPLE_QUEUE_H

#include <flatiommu.h>
#include <stdbool.h>
#include <stdint.h>

#include "virtio_spec.h"

#define QUEUE_ENTRIES		128
#define QUEUE_BUFFER_SIZE	2048

struct queue {
	struct virtio_descriptor *descriptors;
	struct virtio_available *available;
	struct virtio_used *used;
	/* of these three, in this order */
	struct flatiommu_object parts[3];
	struct flatiommu_object buffers[QUEUE_ENTRIES];
	uint16_t entries;
	uint16_t next;		/* what available->index is set to by queue_notify() */
	uint16_t seen;		/* used elements that queue_take() returned */
	bool in_flight[QUEUE_ENTRIES];
	uint16_t number;
	volatile void *doorbell;
	int eventfd;		/* of its vector; -1: polled */
};

/**
 * queue_init() - memory for a queue of @entries, at most QUEUE_ENTRIES; it goes with the pool
 *
 * Returns 0 or -errno as flatiommu_pool_alloc().
 */
int queue_init(struct queue *q, struct flatiommu_pool *pool, uint16_t number, uint16_t entries);

/** queue_buffer() - QUEUE_BUFFER_SIZE bytes of the program's memory */
void *queue_buffer(const struct queue *q, uint16_t id);

/** queue_put() - the device may read @length bytes of the buffer, or write as many */
void queue_put(struct queue *q, uint16_t id, uint32_t length, bool device_writes);

/** queue_notify() - tells the device of all that was put */
void queue_notify(struct queue *q);

/**
 * queue_take() - a buffer that the device has used
 * @length: bytes that it wrote
 *
 * Returns its number, -EAGAIN none, or -EPROTO the device does not keep to the specification.
 */
int queue_take(struct queue *q, uint32_t *length);

#endif
