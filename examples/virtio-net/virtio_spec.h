/* SPDX-License-Identifier: MIT */
/*
 * Definitions of "Virtual I/O Device (VIRTIO) Version 1.2" that this driver uses: registers, rings,
 * frames. Comments name its sections.
 */
#ifndef EXAMPLE_VIRTIO_SPEC_H
#define EXAMPLE_VIRTIO_SPEC_H

#include <assert.h>
#include <endian.h>
#include <stddef.h>
#include <stdint.h>

/* 4.1.2: the first number; a device with the legacy interface may have the transitional one. */
#define VIRTIO_VENDOR			0x1af4
#define VIRTIO_DEVICE_NET		0x1041
#define VIRTIO_DEVICE_NET_TRANSITIONAL	0x1000

/* 4.1.4: a capability of config space for each structure of registers */
#define VIRTIO_PCI_CAP_TYPE	3	/* offsets in the capability */
#define VIRTIO_PCI_CAP_BAR	4
#define VIRTIO_PCI_CAP_OFFSET	8
#define VIRTIO_PCI_CAP_LENGTH	12
#define VIRTIO_PCI_CAP_NOTIFY_MULTIPLIER 16

#define VIRTIO_PCI_COMMON	1
#define VIRTIO_PCI_NOTIFY	2
#define VIRTIO_PCI_DEVICE	4

/* 4.1.4.3: common configuration */
#define VIRTIO_COMMON_DEVICE_FEATURE_SELECT	0	/* 32 bits */
#define VIRTIO_COMMON_DEVICE_FEATURE		4
#define VIRTIO_COMMON_DRIVER_FEATURE_SELECT	8
#define VIRTIO_COMMON_DRIVER_FEATURE		12
#define VIRTIO_COMMON_CONFIG_VECTOR		16	/* 16 bits */
#define VIRTIO_COMMON_NUM_QUEUES		18
#define VIRTIO_COMMON_STATUS			20	/* 8 bits */
#define VIRTIO_COMMON_GENERATION		21
#define VIRTIO_COMMON_QUEUE_SELECT		22	/* 16 bits */
#define VIRTIO_COMMON_QUEUE_SIZE		24
#define VIRTIO_COMMON_QUEUE_VECTOR		26
#define VIRTIO_COMMON_QUEUE_ENABLE		28
#define VIRTIO_COMMON_QUEUE_NOTIFY_OFF		30
#define VIRTIO_COMMON_QUEUE_DESC		32	/* 64 bits, in two halves */
#define VIRTIO_COMMON_QUEUE_DRIVER		40
#define VIRTIO_COMMON_QUEUE_DEVICE		48
#define VIRTIO_COMMON_SIZE			56

#define VIRTIO_NO_VECTOR	0xffff

/* 2.1: device status */
#define VIRTIO_STATUS_ACKNOWLEDGE	1
#define VIRTIO_STATUS_DRIVER		2
#define VIRTIO_STATUS_DRIVER_OK		4
#define VIRTIO_STATUS_FEATURES_OK	8
#define VIRTIO_STATUS_NEEDS_RESET	64
#define VIRTIO_STATUS_GONE		0xff	/* no device answers */

/* 6 and 5.1.3: features, by bit */
#define VIRTIO_NET_F_MAC		(UINT64_C(1) << 5)
#define VIRTIO_F_VERSION_1		(UINT64_C(1) << 32)
#define VIRTIO_F_ACCESS_PLATFORM	(UINT64_C(1) << 33)
#define VIRTIO_F_ORDER_PLATFORM		(UINT64_C(1) << 36)

/* 2.7.5: a descriptor */
struct virtio_descriptor {
	uint64_t address;	/* little endian, as all of these */
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};

static_assert(sizeof(struct virtio_descriptor) == 16, "2.7.5");

#define VIRTIO_DESCRIPTOR_WRITE	2	/* the device writes to it */

/* 2.7.6: the descriptors that the device may use */
struct virtio_available {
	uint16_t flags;
	uint16_t index;
	uint16_t ring[];
};

/* 2.7.8: the descriptors that it has used */
struct virtio_used_element {
	uint32_t id;
	uint32_t length;
};

struct virtio_used {
	uint16_t flags;
	uint16_t index;
	struct virtio_used_element ring[];
};

#define VIRTIO_USED_NO_NOTIFY	1

/* 5.1.6: the header before each frame */
struct virtio_net_header {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t header_length;
	uint16_t gso_size;
	uint16_t checksum_start;
	uint16_t checksum_offset;
	uint16_t nr_buffers;
};

static_assert(sizeof(struct virtio_net_header) == 12, "5.1.6");

/* 5.1.2 */
#define VIRTIO_NET_RECEIVE	0
#define VIRTIO_NET_TRANSMIT	1
#define VIRTIO_NET_QUEUES	2

#endif
