/* SPDX-License-Identifier: MIT */
/*
 * The small part of an NVMe driver that the tests need. It polls, and each queue is one page.
 */
#ifndef TEST_NVME_H
#define TEST_NVME_H

#include <stdbool.h>
#include <stdint.h>

#include "../../../examples/nvme/nvme_spec.h"
#include "vfio.h"

#define NVME_MAX_QUEUES 9	/* including the admin queue */

struct nvme_queue {
	struct nvme_sqe *sq;
	struct nvme_cqe *cq;
	uint64_t sq_bus;
	uint64_t cq_bus;
	uint16_t tail;
	uint16_t head;
	uint16_t phase;
	uint16_t next_cid;
};

struct nvme {
	struct vfio_dev *dev;
	int container;
	/*
	 * -1, or the eventfd of the admin queue's vector. Each command then waits for its interrupt,
	 * too, which comes after the answer.
	 */
	int event;
	unsigned int stride;		/* bytes from a doorbell to the next */
	char *pages;			/* the queues, and a page for data */
	void *data;
	uint64_t data_bus;
	struct nvme_queue queues[NVME_MAX_QUEUES];
};

/* Enables bus mastering and the controller, with its admin queue. Returns 0 or -errno, like all of these. */
int nvme_start(struct nvme *n, struct vfio_dev *dev, int container);
/* The same if bus mastering is on, and the queues and their bus addresses are known. */
int nvme_enable(struct nvme *n);
/* Disables the controller. Drops the maps and the memory. */
void nvme_stop(struct nvme *n);
bool nvme_is_ready(const struct nvme *n);

/* Returns -EIO if the command fails. */
int nvme_admin(struct nvme *n, struct nvme_sqe *sqe);
/* The answer is in n->data. */
int nvme_identify(struct nvme *n, uint32_t cns);
/* The answer is in the page at a bus address. */
int nvme_identify_to(struct nvme *n, uint32_t cns, uint64_t bus);
int nvme_set_queues(struct nvme *n, unsigned int count);
/* Creates queues, which must be 1, 2 and so on. */
int nvme_create_queue(struct nvme *n, unsigned int id, unsigned int vector);

/* Submits a command without data, and gets its completion: -EAGAIN if there is none yet. */
void nvme_submit_flush(struct nvme *n, unsigned int id);
int nvme_reap(struct nvme *n, unsigned int id);

#endif
