/* SPDX-License-Identifier: MIT */
/*
 * A split virtqueue (2.7). Each descriptor has a buffer of its own. Only one thread uses a queue.
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
	/* memory of these three, in this order */
	struct flatiommu_object parts[3];
	struct flatiommu_object buffers[QUEUE_ENTRIES];
	uint16_t entries;
	uint16_t next;		/* queue_notify() sets available->index to it */
	uint16_t seen;		/* used elements that queue_take() returned */
	bool in_flight[QUEUE_ENTRIES];
	uint16_t number;
	volatile void *doorbell;
	int eventfd;		/* of its vector; -1: polled */
};

/**
 * queue_init() - allocates memory for a queue of @entries, at most QUEUE_ENTRIES; the pool frees it
 *
 * Returns 0 or -errno as flatiommu_pool_alloc().
 */
int queue_init(struct queue *q, struct flatiommu_pool *pool, uint16_t number, uint16_t entries);

/** queue_buffer() - returns the buffer, of QUEUE_BUFFER_SIZE bytes */
void *queue_buffer(const struct queue *q, uint16_t id);

/** queue_put() - lets the device read @length bytes of the buffer, or write at most as many */
void queue_put(struct queue *q, uint16_t id, uint32_t length, bool device_writes);

/** queue_notify() - tells the device of all buffers that were put */
void queue_notify(struct queue *q);

/**
 * queue_take() - takes a buffer that the device has used
 * @length: bytes that the device wrote
 *
 * Returns the buffer's number, or
 * -EAGAIN	there is none
 * -EPROTO	the device does not keep to the specification
 */
int queue_take(struct queue *q, uint32_t *length);

#endif
