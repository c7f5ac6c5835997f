// SPDX-License-Identifier: MIT
/*
 * From the card's reset to a frame in its queue and back. Numbers in comments are sections of the
 * specification that virtio_spec.h names.
 */
#define _GNU_SOURCE 1
#include "net.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "../log.h"

#define RESET_TIMEOUT_MS	1000

/* Prints why a call of the library failed. The library itself prints nothing. */
static int said(const struct net *n, int err)
{
	if (err)
		log_error("%s", flatiommu_reason(n->flat));
	return err;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint8_t status(const struct net *n)
{
	return flatiommu_read8(n->common + VIRTIO_COMMON_STATUS);
}

/* 4.1.4.3.2: each step adds a bit, and clears none. */
static void add_status(struct net *n, uint8_t bit)
{
	flatiommu_write8(n->common + VIRTIO_COMMON_STATUS, status(n) | bit);
}

static int gone(const struct net *n)
{
	log_error("%s: does not answer (removed, or asleep)", n->name);
	return -ENODEV;
}

/*
 * Maps the structure that a capability describes: 4.1.4. Returns 0, 1 if it cannot be used, so that
 * a later capability of its kind counts, or -errno.
 */
static int map_structure(struct net *n, unsigned int cap, size_t size, char **registers,
			 uint32_t *length)
{
	uint32_t offset;
	void *memory;
	uint8_t bar;
	int err;

	err = flatiommu_config_read8(n->device, cap + VIRTIO_PCI_CAP_BAR, &bar);
	if (!err)
		err = flatiommu_config_read32(n->device, cap + VIRTIO_PCI_CAP_OFFSET, &offset);
	if (!err)
		err = flatiommu_config_read32(n->device, cap + VIRTIO_PCI_CAP_LENGTH, length);
	if (err)
		return said(n, err);
	/* 4.1.4.1: reserved values are ignored. */
	if (bar > 5)
		return 1;
	if (*length < size) {
		log_error("%s: the capability at 0x%x is not one of virtio 1.2 (4.1.4)", n->name, cap);
		return -EPROTO;
	}
	err = flatiommu_bar_map(n->device, bar, offset, *length, 0, &memory);
	/* The BAR has I/O ports. */
	if (err == -EOPNOTSUPP)
		return 1;
	said(n, err);
	if (!err)
		*registers = memory;
	return err;
}

static int find_structures(struct net *n)
{
	unsigned int cap = 0;
	uint32_t length;
	uint8_t type;
	int err;

	while (!(err = flatiommu_capability(n->device, PCI_CAP_ID_VNDR, &cap))) {
		err = said(n, flatiommu_config_read8(n->device, cap + VIRTIO_PCI_CAP_TYPE, &type));
		/* The first capability of a kind that can be used counts. */
		if (!err && type == VIRTIO_PCI_COMMON && !n->common)
			err = map_structure(n, cap, VIRTIO_COMMON_SIZE, &n->common, &length);
		else if (!err && type == VIRTIO_PCI_DEVICE && !n->config)
			err = map_structure(n, cap, sizeof(n->mac), &n->config, &length);
		else if (!err && type == VIRTIO_PCI_NOTIFY && !n->notify) {
			err = map_structure(n, cap, sizeof(uint16_t), &n->notify,
					    &n->notify_length);
			if (!err)
				err = said(n, flatiommu_config_read32(n->device,
						cap + VIRTIO_PCI_CAP_NOTIFY_MULTIPLIER,
						&n->notify_multiplier));
		}
		if (err < 0)
			return err;
	}
	if (err != -ENOENT)
		return said(n, err);
	if (n->common && n->notify && n->config)
		return 0;
	log_error("%s: has the registers of before virtio 1.0 only. Cure: QEMU's option disable-modern=off",
		  n->name);
	return -EOPNOTSUPP;
}

/* 4.1.4.3.2: writing 0 resets the device. The status reads as 0 when the reset is done. */
static int reset(struct net *n)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int64_t deadline = now_ms() + RESET_TIMEOUT_MS;

	flatiommu_write8(n->common + VIRTIO_COMMON_STATUS, 0);
	while (status(n)) {
		if (status(n) == VIRTIO_STATUS_GONE)
			return gone(n);
		if (now_ms() >= deadline) {
			log_error("%s: its reset takes longer than %d ms", n->name, RESET_TIMEOUT_MS);
			return -ETIMEDOUT;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

static uint64_t offered(struct net *n)
{
	uint64_t features;

	flatiommu_write32(n->common + VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 1);
	features = (uint64_t)flatiommu_read32(n->common + VIRTIO_COMMON_DEVICE_FEATURE) << 32;
	flatiommu_write32(n->common + VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 0);
	return features | flatiommu_read32(n->common + VIRTIO_COMMON_DEVICE_FEATURE);
}

/* 3.1.1, steps 4 to 6. */
static int negotiate(struct net *n)
{
	uint64_t features = offered(n);

	/*
	 * 6.1: a device that does not offer this uses physical addresses, even behind an IOMMU. The
	 * library's addresses would then reach another program's memory.
	 */
	if (flatiommu_isolated(n->flat) && !(features & VIRTIO_F_ACCESS_PLATFORM)) {
		log_error("%s: goes round the IOMMU that is in front of it. Cure: QEMU's option iommu_platform=on",
			  n->name);
		return -EOPNOTSUPP;
	}
	n->features = features & (VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM |
				  VIRTIO_F_ORDER_PLATFORM | VIRTIO_NET_F_MAC);
	flatiommu_write32(n->common + VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 1);
	flatiommu_write32(n->common + VIRTIO_COMMON_DRIVER_FEATURE, (uint32_t)(n->features >> 32));
	flatiommu_write32(n->common + VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 0);
	flatiommu_write32(n->common + VIRTIO_COMMON_DRIVER_FEATURE, (uint32_t)n->features);
	add_status(n, VIRTIO_STATUS_FEATURES_OK);
	if ((n->features & VIRTIO_F_VERSION_1) && (status(n) & VIRTIO_STATUS_FEATURES_OK))
		return 0;
	log_error("%s: does not take the features 0x%llx of 0x%llx that it offers", n->name,
		  (unsigned long long)n->features, (unsigned long long)features);
	return -EPROTO;
}

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), err = errno;

	if (fd >= 0)
		return fd;
	log_error("an eventfd: %s", strerror(err));
	return -err;
}

/* Enables all vectors at once: up to Linux 6.4 none can be added later. */
static int open_vectors(struct net *n)
{
	unsigned int i;

	for (i = 0; i < VIRTIO_NET_QUEUES; i++) {
		n->eventfds[i] = new_eventfd();
		if (n->eventfds[i] < 0)
			return n->eventfds[i];
	}
	return said(n, flatiommu_irq_enable(n->device, FLATIOMMU_IRQ_MSIX, 0, VIRTIO_NET_QUEUES,
					    n->eventfds));
}

/* 4.1.5.1.2.1: gives the queue a vector of its own, or none. */
static int set_vector(struct net *n, struct queue *q)
{
	uint16_t vector = q->eventfd < 0 ? VIRTIO_NO_VECTOR : q->number;

	flatiommu_write16(n->common + VIRTIO_COMMON_QUEUE_VECTOR, vector);
	if (flatiommu_read16(n->common + VIRTIO_COMMON_QUEUE_VECTOR) == vector)
		return 0;
	log_error("%s: has no vector for queue %u. --poll works without", n->name, q->number);
	return -ENOSPC;
}

/* 4.1.5.1.3 */
static int start_queue(struct net *n, struct flatiommu_pool *pool, uint16_t number)
{
	struct queue *q = &n->queues[number];
	uint16_t entries, offset;
	int err;

	flatiommu_write16(n->common + VIRTIO_COMMON_QUEUE_SELECT, number);
	entries = flatiommu_read16(n->common + VIRTIO_COMMON_QUEUE_SIZE);
	if (!entries) {
		log_error("%s: has no queue %u", n->name, number);
		return -EPROTO;
	}
	if (entries > QUEUE_ENTRIES)
		entries = QUEUE_ENTRIES;
	err = queue_init(q, pool, number, entries);
	if (err)
		return said(n, err);
	flatiommu_write16(n->common + VIRTIO_COMMON_QUEUE_SIZE, entries);
	offset = flatiommu_read16(n->common + VIRTIO_COMMON_QUEUE_NOTIFY_OFF);
	/* 4.1.4.4 */
	if ((uint64_t)offset * n->notify_multiplier + sizeof(uint16_t) > n->notify_length) {
		log_error("%s: queue %u has its doorbell outside of the registers for it", n->name,
			  number);
		return -EPROTO;
	}
	q->doorbell = n->notify + (size_t)offset * n->notify_multiplier;
	flatiommu_write64_lh(n->common + VIRTIO_COMMON_QUEUE_DESC, q->parts[0].address);
	flatiommu_write64_lh(n->common + VIRTIO_COMMON_QUEUE_DRIVER, q->parts[1].address);
	flatiommu_write64_lh(n->common + VIRTIO_COMMON_QUEUE_DEVICE, q->parts[2].address);
	q->eventfd = n->eventfds[number];
	err = set_vector(n, q);
	if (!err)
		flatiommu_write16(n->common + VIRTIO_COMMON_QUEUE_ENABLE, 1);
	return err;
}

static int watch_requests(struct net *n)
{
	n->asked_for = new_eventfd();
	if (n->asked_for < 0)
		return n->asked_for;
	return said(n, flatiommu_irq_enable(n->device, FLATIOMMU_IRQ_REQUEST, 0, 1, &n->asked_for));
}

static int check_kind(struct net *n)
{
	uint16_t vendor, device;
	int err;

	err = flatiommu_config_read16(n->device, PCI_VENDOR_ID, &vendor);
	if (!err)
		err = flatiommu_config_read16(n->device, PCI_DEVICE_ID, &device);
	if (err)
		return said(n, err);
	if (vendor == VIRTIO_VENDOR &&
	    (device == VIRTIO_DEVICE_NET || device == VIRTIO_DEVICE_NET_TRANSITIONAL))
		return 0;
	log_error("%s: [%04x:%04x] is not a virtio network card", n->name, vendor, device);
	return -EINVAL;
}

/* 5.1.4. The generation changes if the device changes its configuration meanwhile: 2.5.1. */
static void read_mac(struct net *n)
{
	uint8_t generation;
	unsigned int i;

	if (!(n->features & VIRTIO_NET_F_MAC)) {
		/* A local address. */
		memcpy(n->mac, (const uint8_t[]){ 2, 0, 0, 0, 0, 1 }, sizeof(n->mac));
		return;
	}
	do {
		generation = flatiommu_read8(n->common + VIRTIO_COMMON_GENERATION);
		for (i = 0; i < sizeof(n->mac); i++)
			n->mac[i] = flatiommu_read8(n->config + i);
	} while (generation != flatiommu_read8(n->common + VIRTIO_COMMON_GENERATION));
}

static void fill_queues(struct net *n)
{
	struct queue *receive = &n->queues[VIRTIO_NET_RECEIVE];
	struct queue *transmit = &n->queues[VIRTIO_NET_TRANSMIT];
	uint16_t id;

	for (id = 0; id < receive->entries; id++)
		queue_put(receive, id, QUEUE_BUFFER_SIZE, true);
	while (n->nr_free < transmit->entries) {
		n->free[n->nr_free] = n->nr_free;
		n->nr_free++;
	}
}

/* 3.1.1 */
static int start(struct net *n, struct flatiommu_pool *pool, bool irq)
{
	uint16_t i;
	int err;

	err = reset(n);
	if (err)
		return err;
	add_status(n, VIRTIO_STATUS_ACKNOWLEDGE);
	add_status(n, VIRTIO_STATUS_DRIVER);
	err = negotiate(n);
	flatiommu_write16(n->common + VIRTIO_COMMON_CONFIG_VECTOR, VIRTIO_NO_VECTOR);
	if (!err && irq)
		err = open_vectors(n);
	for (i = 0; i < VIRTIO_NET_QUEUES && !err; i++)
		err = start_queue(n, pool, i);
	if (!err)
		err = said(n, flatiommu_bus_master(n->device, true));
	if (err)
		return err;
	read_mac(n);
	fill_queues(n);
	add_status(n, VIRTIO_STATUS_DRIVER_OK);
	queue_notify(&n->queues[VIRTIO_NET_RECEIVE]);
	return 0;
}

int net_open(struct net *n, struct flatiommu *flat, struct flatiommu_pool *pool, const char *bdf,
	     bool irq, int stop)
{
	unsigned int i;
	int err;

	*n = (struct net){ .flat = flat, .name = bdf, .asked_for = -1, .stop = stop };
	for (i = 0; i < VIRTIO_NET_QUEUES; i++)
		n->eventfds[i] = -1;
	err = said(n, flatiommu_device_open(flat, bdf, &n->device));
	if (err)
		return err;
	n->name = flatiommu_device_name(n->device);
	err = check_kind(n);
	if (!err)
		err = watch_requests(n);
	if (!err)
		err = find_structures(n);
	if (!err)
		err = start(n, pool, irq);
	if (err)
		net_close(n);
	return err;
}

void net_close(struct net *n)
{
	unsigned int i;

	/* A card that was reset, or has no bus mastering, does not reach memory. */
	if (n->common)
		flatiommu_write8(n->common + VIRTIO_COMMON_STATUS, 0);
	if (n->device) {
		flatiommu_device_close(n->device);
		if (n->asked_for >= 0)
			close(n->asked_for);
		for (i = 0; i < VIRTIO_NET_QUEUES; i++)
			if (n->eventfds[i] >= 0)
				close(n->eventfds[i]);
	}
	*n = (struct net){ .asked_for = -1 };
}

/*
 * Waits until the queue may have a buffer. If it has none, the caller waits again.
 * Returns 0, -ETIMEDOUT, -ENODEV, -ECANCELED or another -errno.
 */
static int wait_for(struct net *n, struct queue *q, int64_t deadline)
{
	struct pollfd fds[] = {
		{ .fd = n->asked_for, .events = POLLIN },
		{ .fd = n->stop, .events = POLLIN },
		{ .fd = q->eventfd, .events = POLLIN },
	};
	int64_t left = deadline - now_ms();
	uint8_t now = status(n);
	uint64_t fired;

	if (now == VIRTIO_STATUS_GONE)
		return gone(n);
	if (now & VIRTIO_STATUS_NEEDS_RESET) {
		log_error("%s: has failed and needs a reset (2.1.2)", n->name);
		return -EIO;
	}
	if (left <= 0)
		return -ETIMEDOUT;
	if (q->eventfd < 0)
		left = 0;
	if (poll(fds, 3, (int)left) < 0)
		return errno == EINTR ? 0 : -errno;
	if (fds[0].revents) {
		log_error("%s: is asked for: stopping", n->name);
		return -ENODEV;
	}
	if (fds[1].revents)
		return -ECANCELED;
	/* Clear the eventfd first, then look: a later interrupt sets it again. */
	if (fds[2].revents && read(q->eventfd, &fired, sizeof(fired)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

/* Waits for the next buffer that the device has used. Returns its number, or -errno. */
static int take(struct net *n, unsigned int number, uint32_t *length, int timeout_ms)
{
	struct queue *q = &n->queues[number];
	int64_t deadline = now_ms() + timeout_ms;
	int id, err;

	for (;;) {
		id = queue_take(q, length);
		if (id == -EPROTO)
			log_error("%s: queue %u: a used element is wrong (2.7.8)", n->name, number);
		if (id != -EAGAIN)
			return id;
		err = wait_for(n, q, deadline);
		if (err)
			return err;
	}
}

int net_send(struct net *n, const void *frame, size_t length, int timeout_ms)
{
	struct queue *q = &n->queues[VIRTIO_NET_TRANSMIT];
	uint32_t ignored;
	uint16_t id;
	int used;

	if (length > NET_FRAME_MAX)
		return -EMSGSIZE;
	while ((used = queue_take(q, &ignored)) >= 0)
		n->free[n->nr_free++] = (uint16_t)used;
	if (!n->nr_free || used != -EAGAIN) {
		used = take(n, VIRTIO_NET_TRANSMIT, &ignored, timeout_ms);
		if (used < 0)
			return used;
		n->free[n->nr_free++] = (uint16_t)used;
	}
	id = n->free[--n->nr_free];
	memset(queue_buffer(q, id), 0, sizeof(struct virtio_net_header));
	memcpy((char *)queue_buffer(q, id) + sizeof(struct virtio_net_header), frame, length);
	queue_put(q, id, (uint32_t)(sizeof(struct virtio_net_header) + length), false);
	queue_notify(q);
	return 0;
}

int net_receive(struct net *n, void *frame, size_t *length, int timeout_ms)
{
	struct queue *q = &n->queues[VIRTIO_NET_RECEIVE];
	uint32_t written;
	int id;

	id = take(n, VIRTIO_NET_RECEIVE, &written, timeout_ms);
	if (id < 0)
		return id;
	*length = written < sizeof(struct virtio_net_header) ? 0 :
		written - sizeof(struct virtio_net_header);
	if (*length > NET_FRAME_MAX)
		*length = NET_FRAME_MAX;
	memcpy(frame, (char *)queue_buffer(q, (uint16_t)id) + sizeof(struct virtio_net_header), *length);
	queue_put(q, (uint16_t)id, QUEUE_BUFFER_SIZE, true);
	queue_notify(q);
	return 0;
}
