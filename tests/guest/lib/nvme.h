/* SPDX-License-Identifier: MIT */
/*
 * As little of an NVMe driver as the tests need: it polls, and has a page a queue.
 */
#ifndef TEST_NVME_H
#define TEST_NVME_H

#include <stdbool.h>
#include <stdint.h>

#include "../../../examples/nvme/nvme_spec.h"
#include "vfio.h"

#define NVME_MAX_QUEUES 9	/* with the admin queue */

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
	char *pages;			/* the queues, and one for data */
	void *data;
	uint64_t data_bus;
	struct nvme_queue queues[NVME_MAX_QUEUES];
};

/* Bus mastering, the controller, its admin queue. 0 or -errno, as with all of these. */
int nvme_start(struct nvme *n, struct vfio_dev *dev, int container);
/* The same where bus mastering is on, and the queues and their bus addresses are known. */
int nvme_enable(struct nvme *n);
/* Disables the controller; forgets the maps and the memory. */
void nvme_stop(struct nvme *n);
bool nvme_is_ready(const struct nvme *n);

/* A command that fails is -EIO. */
int nvme_admin(struct nvme *n, struct nvme_sqe *sqe);
/* Its answer is in n->data. */
int nvme_identify(struct nvme *n, uint32_t cns);
/* Its answer is in the page at a bus address. */
int nvme_identify_to(struct nvme *n, uint32_t cns, uint64_t bus);
int nvme_set_queues(struct nvme *n, unsigned int count);
/* Queues from 1 on, in order. */
int nvme_create_queue(struct nvme *n, unsigned int id, unsigned int vector);

/* Without data, and the answer to it: -EAGAIN while there is none. */
void nvme_submit_flush(struct nvme *n, unsigned int id);
int nvme_reap(struct nvme *n, unsigned int id);

#endif
