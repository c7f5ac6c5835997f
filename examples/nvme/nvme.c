// SPDX-License-Identifier: MIT
/*
 * From the controller's reset to a command in its queue and back. In comments "base", "nvm" and
 * "pcie" are the specifications that nvme_spec.h names.
 */
#define _GNU_SOURCE 1
#include "nvme.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "../log.h"

#define NVME_PAGE_SIZE		4096u	/* CC.MPS = 0 */
#define NVME_CLASS		0x0108	/* PCI Code and ID Assignment 1.2: NVM storage */
#define COMMAND_TIMEOUT_MS	30000
#define SHUTDOWN_MIN_MS		5000

#define ADMIN_ENTRIES		16
#define ADMIN_CID		0	/* one admin command at a time */
#define ADMIN_VECTOR		0
#define IO_VECTOR		1

#define SQES_IN_PAGE		(NVME_PAGE_SIZE / sizeof(struct nvme_sqe))
#define DATA_SIZE		((size_t)2 << 20)
#define MAX_PAGES		(DATA_SIZE / NVME_PAGE_SIZE)

/* A list of one page is enough for a slot that has the whole data buffer. */
static_assert(MAX_PAGES <= NVME_PAGE_SIZE / sizeof(__le64), "PRP list");

/* Prints why a call of the library failed. The library itself prints nothing. */
static int said(const struct nvme *n, int err)
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

/* pcie 3.1.2: tail and head doorbells alternate, DSTRD apart. */
static uint32_t sq_doorbell(const struct nvme *n, const struct nvme_queue *q)
{
	return NVME_REG_DB + (2u * q->id) * (4u << NVME_CAP_DSTRD(n->cap));
}

static uint32_t cq_doorbell(const struct nvme *n, const struct nvme_queue *q)
{
	return NVME_REG_DB + (2u * q->id + 1) * (4u << NVME_CAP_DSTRD(n->cap));
}

/*
 * base 3.3.1: puts the command at the tail, and tells the controller by the doorbell. The queue has
 * one entry more than there are commands in flight, so its tail cannot overtake its head.
 */
static void submit(struct nvme *n, struct nvme_queue *q, struct nvme_sqe *sqe, uint16_t cid)
{
	sqe->cid = to_le16(cid);
	q->commands[cid] = (struct nvme_command){ .opcode = sqe->opcode, .pending = true };
	q->sq[q->sq_tail] = *sqe;
	if (++q->sq_tail == q->entries)
		q->sq_tail = 0;
	n->stats.commands++;
	flatiommu_write32(n->regs + sq_doorbell(n, q), q->sq_tail);
}

/* Collects all new completions. Returns their number, or -errno. */
static int reap(struct nvme *n, struct nvme_queue *q)
{
	int count = 0;

	for (;;) {
		struct nvme_cqe *cqe = &q->cq[q->cq_head];
		uint16_t status = from_le16(*(volatile __le16 *)&cqe->status);
		uint16_t cid;

		/* The phase tag flips on each round: base 3.3.3.2. */
		if (NVME_STATUS_PHASE(status) != q->phase)
			break;
		/* Read the rest of the entry, and the data, only after the tag. */
		flatiommu_rmb();
		cid = from_le16(*(volatile __le16 *)&cqe->cid);
		if (cid >= NVME_QDEPTH_MAX || !q->commands[cid].pending) {
			log_error("%s: queue %u completed command %u, which is not in flight",
				  n->name, q->id, cid);
			n->broken = true;
			return -EPROTO;
		}
		q->commands[cid].status = status;
		q->commands[cid].pending = false;
		if (++q->cq_head == q->entries) {
			q->cq_head = 0;
			q->phase ^= 1;
		}
		count++;
	}
	if (count)
		flatiommu_write32(n->regs + cq_doorbell(n, q), q->cq_head);
	return count;
}

/* Sleeps until the queue's vector fires. Reads the queue only after an interrupt. */
static int reap_after_interrupt(struct nvme *n, struct nvme_queue *q, int64_t deadline)
{
	struct pollfd wait = { .fd = q->eventfd, .events = POLLIN };
	int64_t left = deadline - now_ms();
	uint64_t fired;
	int count;

	if (poll(&wait, 1, left > 0 ? (int)left : 0) < 0)
		return errno == EINTR ? 0 : -errno;
	/* Clear the eventfd first, then look: a later interrupt sets it again. */
	if (!(wait.revents & POLLIN) || read(q->eventfd, &fired, sizeof(fired)) != sizeof(fired))
		return 0;
	n->stats.wakeups++;
	count = reap(n, q);
	if (count > 0)
		n->stats.irq_completions += (uint64_t)count;
	return count;
}

/* All bits of a register were set: the function does not answer. */
static int gone(const struct nvme *n)
{
	log_error("%s: does not answer (removed, or its link is down)", n->name);
	return -ENODEV;
}

static int lost_command(struct nvme *n, struct nvme_queue *q, uint16_t cid)
{
	uint32_t csts = flatiommu_read32(n->regs + NVME_REG_CSTS);
	uint8_t opcode = q->commands[cid].opcode;

	n->broken = true;
	if (csts == UINT32_MAX)
		return gone(n);
	if (q->eventfd >= 0 && reap(n, q) > 0)
		log_error("%s: queue %u has completions but its MSI-X vector did not fire in %d s. "
			  "--poll works without", n->name, q->id, COMMAND_TIMEOUT_MS / 1000);
	else
		log_error("%s: queue %u: no answer to command %02xh in %d s%s", n->name, q->id,
			  opcode, COMMAND_TIMEOUT_MS / 1000,
			  (csts & NVME_CSTS_CFS) ? " (controller fatal status)" : "");
	return -ETIMEDOUT;
}

/* Waits for one command. Records other commands of the queue that complete meanwhile. */
static int complete(struct nvme *n, struct nvme_queue *q, uint16_t cid)
{
	struct nvme_command *command = &q->commands[cid];
	int64_t deadline = now_ms() + COMMAND_TIMEOUT_MS;
	int count;

	while (command->pending) {
		if (n->broken)
			return -EIO;
		if (q->eventfd >= 0)
			count = reap_after_interrupt(n, q, deadline);
		else
			count = reap(n, q);
		if (count < 0)
			return count;
		if (!count && now_ms() >= deadline)
			return lost_command(n, q, cid);
	}
	/* base 3.3.3.2.1: anything but zero beside the phase tag is a failure. */
	if (command->status >> 1) {
		log_error("%s: queue %u: command %02xh failed: SCT %xh SC %02xh%s (base 3.3.3.2.1)",
			  n->name, q->id, command->opcode, NVME_STATUS_SCT(command->status),
			  NVME_STATUS_SC(command->status),
			  NVME_STATUS_DNR(command->status) ? ", do not retry" : "");
		return -EIO;
	}
	return 0;
}

static int admin_command(struct nvme *n, struct nvme_sqe *sqe)
{
	submit(n, &n->admin, sqe, ADMIN_CID);
	return complete(n, &n->admin, ADMIN_CID);
}

/* The answer is in the first page of the data buffer until the next call, or I/O. */
static int identify(struct nvme *n, uint8_t cns, uint32_t nsid)
{
	struct nvme_sqe sqe = {
		.opcode = NVME_ADMIN_IDENTIFY,
		.nsid = to_le32(nsid),
		.prp1 = to_le64(flatiommu_dma_address(n->data, 0)),
		.cdw10 = to_le32(cns),
	};

	return admin_command(n, &sqe);
}

static int wait_status(struct nvme *n, uint32_t mask, uint32_t value, int timeout_ms)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int64_t deadline = now_ms() + timeout_ms;

	for (;;) {
		bool late = now_ms() >= deadline;
		uint32_t csts = flatiommu_read32(n->regs + NVME_REG_CSTS);

		if (csts == UINT32_MAX)
			return gone(n);
		if ((csts & mask) == value)
			return 0;
		/* A controller that failed never becomes ready: base 3.1.3.6. */
		if (late || (value && (csts & NVME_CSTS_CFS))) {
			log_error("%s: CSTS is %xh; waited up to %d ms for %xh in %xh",
				  n->name, csts, timeout_ms, value, mask);
			return (csts & NVME_CSTS_CFS) ? -EIO : -ETIMEDOUT;
		}
		nanosleep(&pause, NULL);
	}
}

/* base 3.1.3.5: clearing EN resets the controller. The queues are gone once RDY is clear, too. */
static int disable(struct nvme *n)
{
	uint32_t cc = flatiommu_read32(n->regs + NVME_REG_CC);

	flatiommu_write32(n->regs + NVME_REG_CC, cc & ~(NVME_CC_EN | NVME_CC_SHN_MASK));
	return wait_status(n, NVME_CSTS_RDY, 0, n->ready_ms);
}

/* The controller gets one address for each queue, so queues are contiguous: base 5.4, 5.5. */
static int init_queue(struct nvme *n, struct nvme_queue *q, uint16_t id, uint16_t entries)
{
	const struct flatiommu_dma_options contiguous = { .flags = FLATIOMMU_DMA_CONTIGUOUS };
	int err;

	err = flatiommu_dma_alloc(n->flat, entries * sizeof(*q->sq), &contiguous, &q->sq_dma);
	if (err)
		return said(n, err);
	err = flatiommu_dma_alloc(n->flat, entries * sizeof(*q->cq), &contiguous, &q->cq_dma);
	if (err) {
		flatiommu_dma_free(q->sq_dma);
		q->sq_dma = NULL;
		return said(n, err);
	}
	q->id = id;
	q->entries = entries;
	q->sq = q->sq_dma->memory;
	q->cq = q->cq_dma->memory;
	q->phase = 1;
	return 0;
}

/*
 * The first six steps of base 3.5.1. The controller becomes bus master after the reset: before
 * that it may know addresses of an earlier driver.
 */
static int enable(struct nvme *n)
{
	int err;

	err = disable(n);
	if (!err)
		err = init_queue(n, &n->admin, 0, ADMIN_ENTRIES);
	if (err)
		return err;
	err = flatiommu_bus_master(n->device, true);
	if (err)
		return said(n, err);
	flatiommu_write32(n->regs + NVME_REG_AQA, (ADMIN_ENTRIES - 1) << 16 | (ADMIN_ENTRIES - 1));
	flatiommu_write64(n->regs + NVME_REG_ASQ, flatiommu_dma_address(n->admin.sq_dma, 0));
	flatiommu_write64(n->regs + NVME_REG_ACQ, flatiommu_dma_address(n->admin.cq_dma, 0));
	flatiommu_write32(n->regs + NVME_REG_CC, NVME_CC_IOCQES | NVME_CC_IOSQES | NVME_CC_EN);
	n->enabled = true;
	return wait_status(n, NVME_CSTS_RDY, NVME_CSTS_RDY, n->ready_ms);
}

/* Strings of identify are padded with blanks, not ended by a zero: base 5.17.2.1. */
static void copy_padded(char *to, const char *from, size_t size)
{
	while (size && from[size - 1] == ' ')
		size--;
	memcpy(to, from, size);
	to[size] = 0;
}

static int identify_controller(struct nvme *n)
{
	const struct nvme_id_ctrl *id = n->data->memory;
	uint32_t rtd3e_ms;
	int err;

	err = identify(n, NVME_CNS_CONTROLLER, 0);
	if (err)
		return err;
	copy_padded(n->model, id->mn, sizeof(id->mn));
	copy_padded(n->serial, id->sn, sizeof(id->sn));
	copy_padded(n->firmware, id->fr, sizeof(id->fr));
	n->write_cache = id->vwc & 1;
	n->mdts_bytes = SIZE_MAX;
	if (id->mdts && id->mdts < 16)
		n->mdts_bytes = (size_t)NVME_PAGE_SIZE << id->mdts;
	rtd3e_ms = from_le32(id->rtd3e) / 1000;
	if (rtd3e_ms > SHUTDOWN_MIN_MS)
		n->shutdown_ms = (int)rtd3e_ms;
	return 0;
}

static int identify_namespace(struct nvme *n)
{
	const __le32 *nsids = n->data->memory;
	const struct nvme_id_ns *id = n->data->memory;
	uint32_t format, log2_size;
	int err;

	err = identify(n, NVME_CNS_ACTIVE_NSIDS, 0);
	if (err)
		return err;
	n->nsid = from_le32(nsids[0]);
	if (!n->nsid)
		return 0;

	err = identify(n, NVME_CNS_NAMESPACE, n->nsid);
	if (err)
		return err;
	format = from_le32(id->lbaf[(id->flbas & 0xf) | (id->flbas >> 5 & 3) << 4]);
	log2_size = format >> 16 & 0xff;
	n->metadata_size = format & 0xffff;
	n->blocks = from_le64(id->nsze);
	if (log2_size >= 9 && log2_size < 32)
		n->block_size = 1u << log2_size;
	return 0;
}

/* base 5.4, 5.5: the first two dwords of both commands have the same layout. */
static int create_queue(struct nvme *n, uint8_t opcode, const struct flatiommu_dma *dma,
			uint32_t cdw11)
{
	struct nvme_sqe sqe = {
		.opcode = opcode,
		.prp1 = to_le64(flatiommu_dma_address(dma, 0)),
		.cdw10 = to_le32((uint32_t)(n->io.entries - 1) << 16 | n->io.id),
		.cdw11 = to_le32(cdw11 | NVME_QUEUE_CONTIGUOUS),
	};

	return admin_command(n, &sqe);
}

static int create_io_queues(struct nvme *n)
{
	struct nvme_sqe features = {
		.opcode = NVME_ADMIN_SET_FEATURES,
		.cdw10 = to_le32(NVME_FEATURE_QUEUES),	/* cdw11 = 0: one of each, 0's based */
	};
	uint32_t interrupts = 0;
	int err;

	/* Before the first create: base 5.27.1.5. */
	err = admin_command(n, &features);
	if (err)
		return err;
	err = init_queue(n, &n->io, 1, (uint16_t)(n->qdepth + 1));
	if (err == -ENOMEM && n->qdepth >= SQES_IN_PAGE) {
		n->qdepth = (unsigned int)SQES_IN_PAGE - 1;
		log_error("%s: queue depth lowered to %u, so that a page is enough", n->name, n->qdepth);
		err = init_queue(n, &n->io, 1, (uint16_t)(n->qdepth + 1));
	}
	if (err)
		return err;
	if (n->vectors)
		interrupts = (n->vectors > 1 ? IO_VECTOR : ADMIN_VECTOR) << 16 | NVME_CQ_INTERRUPTS;
	/* The submission queue names its completion queue, which must exist: base 5.5. */
	err = create_queue(n, NVME_ADMIN_CREATE_CQ, n->io.cq_dma, interrupts);
	if (err)
		return err;
	n->has_io_cq = true;
	err = create_queue(n, NVME_ADMIN_CREATE_SQ, n->io.sq_dma, (uint32_t)n->io.id << 16);
	if (err)
		return err;
	n->has_io_sq = true;
	return 0;
}

/* One vector for each queue, or one for both if the function has only one. */
static int enable_interrupts(struct nvme *n)
{
	int count, i, err;

	count = flatiommu_irq_vectors(n->device, FLATIOMMU_IRQ_MSIX);
	if (count < 0)
		return said(n, count);
	if (!count) {
		log_error("%s: has no MSI-X. Cure: --poll", n->name);
		return -EOPNOTSUPP;
	}
	if (count > 2)
		count = 2;
	for (i = 0; i < count; i++) {
		n->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (n->eventfds[i] < 0) {
			err = -errno;
			log_error("eventfd: %s", strerror(-err));
			return err;
		}
	}
	err = flatiommu_irq_enable(n->device, FLATIOMMU_IRQ_MSIX, 0, (unsigned int)count, n->eventfds);
	if (err) {
		log_error("%s. --poll works without", flatiommu_reason(n->flat));
		return err;
	}
	n->vectors = (unsigned int)count;
	n->admin.eventfd = n->eventfds[ADMIN_VECTOR];
	n->io.eventfd = n->eventfds[count > 1 ? IO_VECTOR : ADMIN_VECTOR];
	return 0;
}

/* Most bytes of a command: a part of the data buffer, at most MDTS, whole pages, whole blocks. */
static void limit_transfer(struct nvme *n)
{
	size_t size = DATA_SIZE / n->qdepth;

	if (size > n->mdts_bytes)
		size = n->mdts_bytes;
	size -= size % NVME_PAGE_SIZE;
	if (n->block_size)
		size -= size % n->block_size;
	n->max_transfer = size;
}

int nvme_probe(struct nvme *n, struct flatiommu *flat, struct flatiommu_device *device)
{
	uint16_t class;
	void *regs;
	int err;

	*n = (struct nvme){ .flat = flat, .device = device, .eventfds = { -1, -1 }, .asked_for = -1 };
	n->name = flatiommu_device_name(device);
	n->admin.eventfd = -1;
	n->io.eventfd = -1;

	err = flatiommu_config_read16(device, PCI_CLASS_DEVICE, &class);
	if (err)
		return said(n, err);
	n->regs_size = (size_t)flatiommu_region_size(device, 0);
	if (class != NVME_CLASS || n->regs_size < 2 * NVME_REG_DB) {
		log_error("%s: class %04x is not an NVMe controller", n->name, class);
		return -ENODEV;
	}
	err = flatiommu_bar_map(device, 0, 0, 0, 0, &regs);
	if (err)
		return said(n, err);
	n->regs = regs;
	n->cap = flatiommu_read64(n->regs + NVME_REG_CAP);
	n->version = flatiommu_read32(n->regs + NVME_REG_VS);
	if (n->cap == UINT64_MAX)
		return gone(n);
	/* base 3.1.3.1: TO counts 500 ms; a zero must not mean "do not wait". */
	n->ready_ms = (int)(NVME_CAP_TO(n->cap) + 1) * 500;
	n->shutdown_ms = SHUTDOWN_MIN_MS;
	return 0;
}

/* An unbind waits until the program closes the device. */
static int watch_requests(struct nvme *n)
{
	if (flatiommu_irq_vectors(n->device, FLATIOMMU_IRQ_REQUEST) < 1)
		return 0;
	n->asked_for = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->asked_for < 0) {
		int err = -errno;

		log_error("eventfd: %s", strerror(-err));
		return err;
	}
	return said(n, flatiommu_irq_enable(n->device, FLATIOMMU_IRQ_REQUEST, 0, 1, &n->asked_for));
}

bool nvme_is_asked_for(const struct nvme *n)
{
	struct pollfd asked = { .fd = n->asked_for, .events = POLLIN };

	return poll(&asked, 1, 0) == 1;
}

static int check_capabilities(struct nvme *n)
{
	size_t doorbells_end = NVME_REG_DB + 4 * ((size_t)4 << NVME_CAP_DSTRD(n->cap));

	if (!NVME_CAP_CSS_NVM(n->cap) || NVME_CAP_MPSMIN(n->cap) ||
	    n->regs_size < doorbells_end) {
		log_error("%s: needs the NVM command set, 4 KiB pages and two doorbell pairs in "
			  "BAR0; CAP is %llxh", n->name, (unsigned long long)n->cap);
		return -EOPNOTSUPP;
	}
	/* base 3.3.1: a queue of MQES + 1 entries is full with one entry left empty. */
	if (n->qdepth > NVME_CAP_MQES(n->cap)) {
		n->qdepth = NVME_CAP_MQES(n->cap);
		log_error("%s: queue depth lowered to %u, the controller's limit", n->name,
			  n->qdepth);
	}
	return 0;
}

static int start_controller(struct nvme *n, bool irq)
{
	int err;

	err = flatiommu_dma_alloc(n->flat, DATA_SIZE, NULL, &n->data);
	if (!err)
		err = flatiommu_dma_alloc(n->flat, n->qdepth * NVME_PAGE_SIZE, NULL, &n->lists);
	if (err)
		return said(n, err);
	if (irq)
		err = enable_interrupts(n);
	if (!err)
		err = enable(n);
	if (!err)
		err = identify_controller(n);
	if (!err)
		err = identify_namespace(n);
	if (!err)
		err = create_io_queues(n);
	if (!err)
		limit_transfer(n);
	return err;
}

int nvme_open(struct nvme *n, struct flatiommu *flat, struct flatiommu_device *device,
	      unsigned int qdepth, bool irq)
{
	int err;

	err = nvme_probe(n, flat, device);
	if (err)
		return err;
	n->qdepth = qdepth;
	err = check_capabilities(n);
	if (err)
		return err;
	err = watch_requests(n);
	if (!err)
		err = start_controller(n, irq);
	if (err)
		nvme_close(n);
	return err;
}

/* base 3.6.1: queues first, submission before completion, then CC.SHN. */
static int shut_down(struct nvme *n)
{
	struct nvme_sqe sq = { .opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = to_le32(n->io.id) };
	struct nvme_sqe cq = { .opcode = NVME_ADMIN_DELETE_CQ, .cdw10 = to_le32(n->io.id) };
	uint32_t cc;
	int err = 0;

	if (n->broken)
		return -EIO;
	/* If a queue cannot be deleted, the controller must save its cache all the same. */
	if (n->has_io_sq)
		err = admin_command(n, &sq);
	if (!err && n->has_io_cq)
		admin_command(n, &cq);
	if (n->broken)
		return -EIO;
	cc = flatiommu_read32(n->regs + NVME_REG_CC) & ~NVME_CC_SHN_MASK;
	flatiommu_write32(n->regs + NVME_REG_CC, cc | NVME_CC_SHN_NORMAL);
	return wait_status(n, NVME_CSTS_SHST_MASK, NVME_CSTS_SHST_DONE, n->shutdown_ms);
}

void nvme_close(struct nvme *n)
{
	unsigned int i;

	if (n->enabled) {
		/* If the shutdown fails, the controller reset stops DMA, too. */
		shut_down(n);
		disable(n);
	}
	/* From here on the function does not reach memory, even if both failed. */
	flatiommu_bus_master(n->device, false);
	flatiommu_irq_disable(n->device, FLATIOMMU_IRQ_MSIX);
	for (i = 0; i < 2; i++) {
		if (n->eventfds[i] >= 0)
			close(n->eventfds[i]);
	}
	if (n->asked_for >= 0) {
		flatiommu_irq_disable(n->device, FLATIOMMU_IRQ_REQUEST);
		close(n->asked_for);
	}
	n->asked_for = -1;
	n->enabled = false;
}

int nvme_check_namespace(const struct nvme *n)
{
	if (!n->nsid) {
		log_error("%s: has no active namespace", n->name);
		return -ENXIO;
	}
	if (!n->block_size || n->metadata_size) {
		log_error("%s: namespace %u has a format that this example does not speak (%u "
			  "bytes of metadata a block)", n->name, n->nsid, n->metadata_size);
		return -EOPNOTSUPP;
	}
	if (!n->max_transfer) {
		log_error("%s: a block of %u bytes does not fit. Cure: a smaller --qdepth",
			  n->name, n->block_size);
		return -EINVAL;
	}
	return 0;
}

char *nvme_slot_data(const struct nvme *n, unsigned int slot)
{
	return (char *)n->data->memory + slot * n->max_transfer;
}

/*
 * base 4.1.1: one page is in PRP1; a second one is in PRP2; with more, PRP2 is the address of a
 * list of all but the first. So the pages may be anywhere, and each segment lies in one page.
 */
static int set_prps(struct nvme *n, unsigned int slot, struct nvme_sqe *sqe, size_t size)
{
	static const struct flatiommu_dma_limits limits = { .boundary = NVME_PAGE_SIZE };
	size_t list_at = slot * NVME_PAGE_SIZE, count = MAX_PAGES, i;
	__le64 *list = (__le64 *)((char *)n->lists->memory + list_at);
	struct flatiommu_dma_segment pages[MAX_PAGES];
	int err;

	err = flatiommu_dma_gather(n->data, slot * n->max_transfer, size, &limits, pages, &count);
	if (err)
		return err;
	sqe->prp1 = to_le64(pages[0].address);
	if (count == 2)
		sqe->prp2 = to_le64(pages[1].address);
	if (count <= 2)
		return 0;
	for (i = 1; i < count; i++)
		list[i - 1] = to_le64(pages[i].address);
	sqe->prp2 = to_le64(flatiommu_dma_address(n->lists, list_at));
	return 0;
}

int nvme_start(struct nvme *n, unsigned int slot, uint8_t opcode, uint64_t lba, uint32_t blocks)
{
	size_t size = (size_t)blocks * n->block_size;
	struct nvme_sqe sqe = {
		.opcode = opcode,
		.nsid = to_le32(n->nsid),
		.cdw10 = to_le32((uint32_t)lba),
		.cdw11 = to_le32((uint32_t)(lba >> 32)),
		.cdw12 = to_le32(blocks - 1),	/* 0's based: nvm 3.2.4, 3.2.6 */
	};

	int err;

	if (n->broken)
		return -EIO;
	if (!blocks || size > n->max_transfer || slot >= n->qdepth || n->io.commands[slot].pending)
		return -EINVAL;
	err = set_prps(n, slot, &sqe, size);
	if (err)
		return err;
	submit(n, &n->io, &sqe, (uint16_t)slot);
	return 0;
}

int nvme_finish(struct nvme *n, unsigned int slot)
{
	return complete(n, &n->io, (uint16_t)slot);
}

int nvme_flush(struct nvme *n)
{
	struct nvme_sqe sqe = { .opcode = NVME_CMD_FLUSH, .nsid = to_le32(n->nsid) };

	if (!n->write_cache)
		return 0;
	if (n->broken)
		return -EIO;
	submit(n, &n->io, &sqe, 0);
	return complete(n, &n->io, 0);
}
