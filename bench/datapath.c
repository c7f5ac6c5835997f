// SPDX-License-Identifier: MIT
/*
 * The cost of the library in the data path: NVMe reads of 4 KiB, in random order, through the
 * library, and with VFIO's ioctls and known bus addresses. The loop and the controller are the
 * same. callgrind counts the instructions of the functions that submit a command and collect its
 * completion, exactly. Waiting is not counted.
 *
 *	raw		writes registers by a store; addresses are in an array
 *	kept		through the library; addresses, which it returned once, are in an array, too
 *	address		flatiommu_dma_address() of each command's page, in a buffer of one segment
 *	scattered	the same, in a buffer of many segments
 *	gather		flatiommu_dma_gather() of each command's page, in a buffer of one segment
 */
#include <errno.h>
#include <flatiommu.h>
#include <string.h>
#include <unistd.h>

#include "devices.h"
#include "figure.h"
#include "mem.h"
#include "nvme.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define COMMANDS	4096u
#define DEPTH		16u	/* commands in flight */
#define ENTRIES		32u	/* of the queue, as tests/guest/lib/nvme.c makes it */
#define BLOCKS		131072u	/* of the disk, which is empty */
#define PAGE_BLOCKS	8u

#define measured __attribute__((noinline))

static const char *const devices[] = { NVME, NULL };

struct path {
	struct nvme_sqe *sq;
	volatile struct nvme_cqe *cq;
	uint32_t *sq_doorbell;
	uint32_t *cq_doorbell;
	uint32_t tail;
	uint32_t head;
	uint16_t phase;
	uint64_t bus[DEPTH];		/* of each slot's page */
	const struct flatiommu_dma *dma;
};

static void must_of(int ret, const char *what, struct flatiommu *flat)
{
	if (ret >= 0)
		return;
	printf("Bail out! %s: %s %s\n", what, errno_name(ret), flatiommu_reason(flat));
	exit(1);
}

static inline void put(struct path *p, unsigned int slot, uint32_t lba, uint64_t address)
{
	p->sq[p->tail] = (struct nvme_sqe){
		.opcode = NVME_CMD_READ,
		.cid = to_le16((uint16_t)slot),
		.nsid = to_le32(1),
		.prp1 = to_le64(address),
		.cdw10 = to_le32(lba),
		.cdw12 = to_le32(PAGE_BLOCKS - 1),
	};
	p->tail = (p->tail + 1) % ENTRIES;
}

/* As flatiommu_write32(), on x86. */
static inline void store(uint32_t *reg, uint32_t value)
{
	__asm__ volatile("" ::: "memory");
	*(volatile uint32_t *)reg = value;
}

static measured void submit_raw(struct path *p, unsigned int slot, uint32_t lba)
{
	put(p, slot, lba, p->bus[slot]);
	store(p->sq_doorbell, p->tail);
}

static measured void submit_kept(struct path *p, unsigned int slot, uint32_t lba)
{
	put(p, slot, lba, p->bus[slot]);
	flatiommu_write32(p->sq_doorbell, p->tail);
}

static measured void submit_address(struct path *p, unsigned int slot, uint32_t lba)
{
	put(p, slot, lba, flatiommu_dma_address(p->dma, slot * PAGE));
	flatiommu_write32(p->sq_doorbell, p->tail);
}

static measured void submit_gather(struct path *p, unsigned int slot, uint32_t lba)
{
	const struct flatiommu_dma_limits limits = { .boundary = PAGE };
	struct flatiommu_dma_segment page;
	size_t count = 1;

	if (flatiommu_dma_gather(p->dma, slot * PAGE, PAGE, &limits, &page, &count))
		return;
	put(p, slot, lba, page.address);
	flatiommu_write32(p->sq_doorbell, p->tail);
}

static inline bool is_there(const struct path *p)
{
	return NVME_STATUS_PHASE(from_le16(p->cq[p->head].status)) == p->phase;
}

/* Returns the slot of the completion at the head, or -EIO. */
static inline int take(struct path *p)
{
	volatile struct nvme_cqe *cqe = &p->cq[p->head];
	int slot = from_le16(cqe->cid);

	if (from_le16(cqe->status) >> 1)
		slot = -EIO;
	p->head = (p->head + 1) % ENTRIES;
	if (!p->head)
		p->phase ^= 1;
	return slot;
}

static measured int collect_raw(struct path *p)
{
	int slot;

	if (!is_there(p))
		return -EAGAIN;
	__asm__ volatile("" ::: "memory");
	slot = take(p);
	store(p->cq_doorbell, p->head);
	return slot;
}

static measured int collect_library(struct path *p)
{
	int slot;

	if (!is_there(p))
		return -EAGAIN;
	flatiommu_rmb();
	slot = take(p);
	flatiommu_write32(p->cq_doorbell, p->head);
	return slot;
}

enum way { RAW, KEPT, ADDRESS, SCATTERED, GATHER, WAYS };

static const struct {
	const char *name;
	void (*submit)(struct path *p, unsigned int slot, uint32_t lba);
	int (*collect)(struct path *p);
	const char *functions[2];
} ways[WAYS] = {
	[RAW] = { "raw", submit_raw, collect_raw, { "submit_raw", "collect_raw" } },
	[KEPT] = { "kept", submit_kept, collect_library, { "submit_kept", "collect_library" } },
	[ADDRESS] = { "address", submit_address, collect_library, { "submit_address", "collect_library" } },
	[SCATTERED] = { "scattered", submit_address, collect_library,
			{ "submit_address", "collect_library" } },
	[GATHER] = { "gather", submit_gather, collect_library, { "submit_gather", "collect_library" } },
};

static uint32_t next_lba(void)
{
	static uint32_t random = 2463534242u;

	random ^= random << 13;
	random ^= random >> 17;
	random ^= random << 5;
	return random % (BLOCKS / PAGE_BLOCKS) * PAGE_BLOCKS;
}

/* Waits for each completion before it collects it, so all runs have as many instructions. */
static int read_all(struct path *p, enum way way)
{
	unsigned int submitted, collected;
	int slot;

	for (submitted = 0; submitted < DEPTH; submitted++)
		ways[way].submit(p, submitted, next_lba());
	for (collected = 0; collected < COMMANDS; collected++) {
		while (!is_there(p))
			;
		slot = ways[way].collect(p);
		if (slot < 0 || slot >= (int)DEPTH)
			return -EIO;
		if (submitted++ < COMMANDS)
			ways[way].submit(p, (unsigned int)slot, next_lba());
	}
	return 0;
}

static void use_queue(struct path *p, struct nvme *n)
{
	char *doorbells = (char *)n->dev->bar0 + NVME_REG_DB;

	p->sq = n->queues[1].sq;
	p->cq = n->queues[1].cq;
	p->phase = 1;
	p->sq_doorbell = (uint32_t *)(doorbells + 2 * n->stride);
	p->cq_doorbell = (uint32_t *)(doorbells + 3 * n->stride);
}

/* The disk is empty, so all data that was read is 0. */
static void run(struct path *p, enum way way, char *memory)
{
	size_t i;

	memset(memory, 0xff, DEPTH * PAGE);
	must(read_all(p, way), "a read");
	for (i = 0; i < DEPTH * PAGE; i++)
		must(memory[i] ? -EIO : 0, "what was read");
}

static void run_raw(struct path *p)
{
	struct vfio_dev dev = VFIO_DEV_INIT;
	char *memory = mem_huge();
	struct nvme n;
	unsigned int i;
	int container;

	must(memory ? 0 : -ENOMEM, "a huge page");
	must(vfio_open_alone(&dev, &container, NVME), NVME);
	must(nvme_start(&n, &dev, container), "the controller");
	must(nvme_create_queue(&n, 1, 0), "a queue");
	must(vfio_map_at_bus(container, memory, HUGE_PAGE, &p->bus[0]), "MAP_DMA");
	for (i = 1; i < DEPTH; i++)
		p->bus[i] = p->bus[0] + i * PAGE;
	use_queue(p, &n);
	run(p, RAW, memory);
	nvme_stop(&n);
	vfio_close(&dev);
	close_fd(&container);
}

static void alloc_queue(struct flatiommu *flat, struct nvme_queue *q)
{
	struct flatiommu_dma *sq, *cq;

	must_of(flatiommu_dma_alloc(flat, PAGE, NULL, &sq), "a queue", flat);
	must_of(flatiommu_dma_alloc(flat, PAGE, NULL, &cq), "a queue", flat);
	q->sq = sq->memory;
	q->cq = cq->memory;
	q->sq_bus = flatiommu_dma_address(sq, 0);
	q->cq_bus = flatiommu_dma_address(cq, 0);
	q->phase = 1;
}

static void run_library(struct path *p, enum way way)
{
	struct vfio_dev dev = VFIO_DEV_INIT;
	struct nvme n = { .dev = &dev, .event = -1 };
	struct flatiommu_device *device;
	struct flatiommu_dma *dma;
	struct flatiommu *flat;
	unsigned int i;

	must(flatiommu_open(&flat), "a context");
	must_of(flatiommu_device_open(flat, NVME, &device), NVME, flat);
	must_of(flatiommu_bar_map(device, 0, 0, 0, 0, &dev.bar0), "BAR0", flat);
	must_of(flatiommu_bus_master(device, true), "bus mastering", flat);
	if (way == SCATTERED)
		must_of(flatiommu_dma_map(flat, mem_file_scattered(HUGE_PAGE / PAGE), HUGE_PAGE, NULL, &dma),
		     "memory", flat);
	else
		must_of(flatiommu_dma_alloc(flat, HUGE_PAGE, NULL, &dma), "memory", flat);
	must((dma->nr_segments > 1) == (way == SCATTERED) ? 0 : -EINVAL, "segments");
	alloc_queue(flat, &n.queues[0]);
	alloc_queue(flat, &n.queues[1]);
	must(nvme_enable(&n), "the controller");
	must(nvme_create_queue(&n, 1, 0), "a queue");
	for (i = 0; i < DEPTH; i++)
		p->bus[i] = flatiommu_dma_address(dma, i * PAGE);
	p->dma = dma;
	use_queue(p, &n);
	run(p, way, dma->memory);
	flatiommu_close(flat);
}

/* Returns what callgrind counted for a way, which runs in a process of its own. */
static unsigned long count(const char *self, enum way way)
{
	unsigned long collected = 0;
	char text[4096];
	const char *found;
	FILE *output;
	size_t size;
	int status;

	snprintf(text, sizeof(text), "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
		 "--toggle-collect=%s --toggle-collect=%s %s %s 2>&1", ways[way].functions[0],
		 ways[way].functions[1], self, ways[way].name);
	output = popen(text, "r");
	must(output ? 0 : -errno, "popen");
	size = fread(text, 1, sizeof(text) - 1, output);
	text[size] = 0;
	status = pclose(output);
	found = strstr(text, "Collected : ");
	if (found)
		collected = strtoul(found + strlen("Collected : "), NULL, 10);
	if (status || !collected)
		printf("%s\n", text);
	must(status || !collected ? -EIO : 0, ways[way].name);
	return collected;
}

static void count_all(const char *self)
{
	unsigned int way;

	must(flat_begin(devices), "the module");
	must(huge_pages(16), "huge pages");
	for (way = 0; way < WAYS; way++) {
		double each = (double)count(self, way) / COMMANDS;

		figure("datapath", "instructions a read", 4096, ways[way].name, &each, 1);
	}
	huge_pages(0);
	must(flat_end(devices), "the end");
	printf("ok 1 - counted\n1..1\n");
}

int main(int argc, char **argv)
{
	struct path path = { 0 };
	unsigned int way;

	if (argc < 2) {
		count_all(argv[0]);
		return 0;
	}
	for (way = 0; way < WAYS && strcmp(argv[1], ways[way].name); way++)
		;
	if (way == RAW)
		run_raw(&path);
	else if (way < WAYS)
		run_library(&path, way);
	return way < WAYS ? 0 : 2;
}
