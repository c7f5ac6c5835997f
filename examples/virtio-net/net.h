/* SPDX-License-Identifier: MIT */
/*
 * One virtio network card: a queue to receive and a queue to transmit, each for a thread of its
 * own.
 */
#ifndef EXAMPLE_NET_H
#define EXAMPLE_NET_H

#include <flatiommu.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue.h"

#define NET_FRAME_MAX	1514	/* bytes, without the checksum that the wire has */
#define NET_FRAME_MIN	60

struct net {
	struct flatiommu *flat;
	struct flatiommu_device *device;
	const char *name;		/* of the device, for a person */
	char *common;			/* registers: 4.1.4.3 */
	char *notify;
	uint32_t notify_length;
	uint32_t notify_multiplier;
	char *config;			/* 5.1.4 */
	uint64_t features;
	uint8_t mac[6];
	struct queue queues[VIRTIO_NET_QUEUES];
	int eventfds[VIRTIO_NET_QUEUES];	/* of their vectors; -1: polled */
	uint16_t nr_free;		/* free buffers of the queue to transmit */
	uint16_t free[QUEUE_ENTRIES];
	int asked_for;			/* eventfd: the kernel asks for the device */
	int stop;			/* file descriptor: readable if functions must not wait */
};

/*
 * Functions return 0 or -errno. net_open() prints the cause on stderr; the others do so for -ENODEV
 * and -EPROTO.
 */

/**
 * net_open() - resets the card and starts it
 * @pool: the card's rings and frames are from it; destroy it after net_close()
 * @irq: an MSI-X vector for each queue; else queues are polled
 * @stop: if this file descriptor is readable, functions that wait return -ECANCELED
 */
int net_open(struct net *n, struct flatiommu *flat, struct flatiommu_pool *pool, const char *bdf,
	     bool irq, int stop);

/** net_close() - stops the card, also if net_open() has failed or was not called */
void net_close(struct net *n);

/**
 * net_send() - puts a copy of a frame into the queue
 * @timeout_ms: how long to wait for room
 *
 * Errors:
 * -ETIMEDOUT	there was no room
 * -ENODEV	the kernel asks for the device, or it is gone
 * -ECANCELED	@stop of net_open() is readable
 */
int net_send(struct net *n, const void *frame, size_t length, int timeout_ms);

/**
 * net_receive() - copies the next frame
 * @frame: room for NET_FRAME_MAX bytes
 * @length: its length
 *
 * Errors: as net_send(); -ETIMEDOUT no frame came.
 */
int net_receive(struct net *n, void *frame, size_t *length, int timeout_ms);

#endif
