// SPDX-License-Identifier: MIT
#include "nvme.h"

#include <errno.h>
#include <flatiommu/mmio.h>
#include <string.h>

#include "mem.h"
#include "test.h"

#define ENTRIES 32	/* of each queue */

static void *reg(const struct nvme *n, uint32_t offset)
{
	return (char *)n->dev->bar0 + offset;
}

static uint32_t doorbell(const struct nvme *n, unsigned int id, bool completion)
{
	return NVME_REG_DB + (2 * id + completion) * n->stride;
}

bool nvme_is_ready(const struct nvme *n)
{
	return flatiommu_read32(reg(n, NVME_REG_CSTS)) & NVME_CSTS_RDY;
}

static bool is_ready(void *arg)
{
	return nvme_is_ready(arg);
}

static bool is_not_ready(void *arg)
{
	return !nvme_is_ready(arg);
}

static int disable(struct nvme *n)
{
	flatiommu_write32(reg(n, NVME_REG_CC), 0);
	return wait_until(is_not_ready, n) ? 0 : -ETIMEDOUT;
}

static int map_memory(struct nvme *n)
{
	unsigned int i;
	int ret = 0;

	n->pages = mem_pages(2 * NVME_MAX_QUEUES + 1);
	if (!n->pages)
		return -ENOMEM;
	for (i = 0; !ret && i < NVME_MAX_QUEUES; i++) {
		struct nvme_queue *q = &n->queues[i];

		q->sq = (void *)(n->pages + 2 * i * PAGE);
		q->cq = (void *)(n->pages + (2 * i + 1) * PAGE);
		q->phase = 1;
		ret = vfio_map_at_bus(n->container, q->sq, PAGE, &q->sq_bus);
		if (!ret)
			ret = vfio_map_at_bus(n->container, q->cq, PAGE, &q->cq_bus);
	}
	n->data = n->pages + 2 * NVME_MAX_QUEUES * PAGE;
	return ret ? ret : vfio_map_at_bus(n->container, n->data, PAGE, &n->data_bus);
}

int nvme_enable(struct nvme *n)
{
	int ret;

	n->stride = 4u << NVME_CAP_DSTRD(flatiommu_read64(reg(n, NVME_REG_CAP)));
	ret = disable(n);
	if (ret)
		return ret;
	flatiommu_write32(reg(n, NVME_REG_AQA), (ENTRIES - 1) << 16 | (ENTRIES - 1));
	flatiommu_write64(reg(n, NVME_REG_ASQ), n->queues[0].sq_bus);
	flatiommu_write64(reg(n, NVME_REG_ACQ), n->queues[0].cq_bus);
	flatiommu_write32(reg(n, NVME_REG_CC), NVME_CC_IOCQES | NVME_CC_IOSQES | NVME_CC_EN);
	return wait_until(is_ready, n) ? 0 : -ETIMEDOUT;
}

int nvme_start(struct nvme *n, struct vfio_dev *dev, int container)
{
	int ret;

	*n = (struct nvme){ .dev = dev, .container = container, .event = -1 };
	ret = map_memory(n);
	if (!ret)
		ret = vfio_set_bus_master(dev, true);
	return ret ? ret : nvme_enable(n);
}

void nvme_stop(struct nvme *n)
{
	unsigned int i;

	if (!n->pages)
		return;
	disable(n);
	vfio_set_bus_master(n->dev, false);
	for (i = 0; i < NVME_MAX_QUEUES; i++) {
		vfio_unmap(n->container, n->queues[i].sq_bus, PAGE);
		vfio_unmap(n->container, n->queues[i].cq_bus, PAGE);
	}
	vfio_unmap(n->container, n->data_bus, PAGE);
	mem_free(n->pages, (2 * NVME_MAX_QUEUES + 1) * PAGE);
	n->pages = NULL;
}

static void submit(struct nvme *n, unsigned int id, struct nvme_sqe *sqe)
{
	struct nvme_queue *q = &n->queues[id];

	sqe->cid = to_le16(q->next_cid++);
	q->sq[q->tail] = *sqe;
	q->tail = (q->tail + 1) % ENTRIES;
	flatiommu_write32(reg(n, doorbell(n, id, false)), q->tail);
}

int nvme_reap(struct nvme *n, unsigned int id)
{
	struct nvme_queue *q = &n->queues[id];
	volatile struct nvme_cqe *cqe = &q->cq[q->head];
	uint16_t status = from_le16(cqe->status);

	if (NVME_STATUS_PHASE(status) != q->phase)
		return -EAGAIN;
	q->head = (q->head + 1) % ENTRIES;
	if (!q->head)
		q->phase ^= 1;
	flatiommu_write32(reg(n, doorbell(n, id, true)), q->head);
	if (!(status >> 1))
		return 0;
	print_error("nvme: queue %u: status %x.%02x\n", id, NVME_STATUS_SCT(status),
		    NVME_STATUS_SC(status));
	return -EIO;
}

struct reaping {
	struct nvme *n;
	int result;
};

static bool admin_is_done(void *arg)
{
	struct reaping *r = arg;

	r->result = nvme_reap(r->n, 0);
	return r->result != -EAGAIN;
}

int nvme_admin(struct nvme *n, struct nvme_sqe *sqe)
{
	struct reaping r = { .n = n };

	submit(n, 0, sqe);
	if (!wait_until(admin_is_done, &r))
		return -ETIMEDOUT;
	if (n->event >= 0 && event_wait(n->event) != 1)
		return -ETIME;
	return r.result;
}

int nvme_identify_to(struct nvme *n, uint32_t cns, uint64_t bus)
{
	struct nvme_sqe sqe = {
		.opcode = NVME_ADMIN_IDENTIFY,
		.prp1 = to_le64(bus),
		.cdw10 = to_le32(cns),
	};

	return nvme_admin(n, &sqe);
}

int nvme_identify(struct nvme *n, uint32_t cns)
{
	return nvme_identify_to(n, cns, n->data_bus);
}

int nvme_set_queues(struct nvme *n, unsigned int count)
{
	struct nvme_sqe sqe = {
		.opcode = NVME_ADMIN_SET_FEATURES,
		.cdw10 = to_le32(NVME_FEATURE_QUEUES),
		.cdw11 = to_le32((count - 1) << 16 | (count - 1)),
	};

	return nvme_admin(n, &sqe);
}

int nvme_create_queue(struct nvme *n, unsigned int id, unsigned int vector)
{
	struct nvme_queue *q = &n->queues[id];
	struct nvme_sqe cq = {
		.opcode = NVME_ADMIN_CREATE_CQ,
		.prp1 = to_le64(q->cq_bus),
		.cdw10 = to_le32((ENTRIES - 1) << 16 | id),
		.cdw11 = to_le32(vector << 16 | NVME_CQ_INTERRUPTS | NVME_QUEUE_CONTIGUOUS),
	};
	struct nvme_sqe sq = {
		.opcode = NVME_ADMIN_CREATE_SQ,
		.prp1 = to_le64(q->sq_bus),
		.cdw10 = to_le32((ENTRIES - 1) << 16 | id),
		.cdw11 = to_le32(id << 16 | NVME_QUEUE_CONTIGUOUS),
	};
	int ret = nvme_admin(n, &cq);

	return ret ? ret : nvme_admin(n, &sq);
}

void nvme_submit_flush(struct nvme *n, unsigned int id)
{
	struct nvme_sqe sqe = { .opcode = NVME_CMD_FLUSH, .nsid = to_le32(1) };

	submit(n, id, &sqe);
}
