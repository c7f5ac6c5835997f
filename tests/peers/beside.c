// SPDX-License-Identifier: MIT
/*
 * beside EAL_OPTIONS... -- EDU PORT COUNT: DPDK and libflatiommu in one process, each with functions and a container of
 * its own. COUNT times DPDK sends a frame from port 0 to port 1, and QEMU's edu copies the same bytes there and back:
 * with both, after the library has closed, and, of edu, after DPDK has ended. PORT, which DPDK has, is not for the library.
 */
#include <errno.h>
#include <flatiommu.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH 1000
#define TIMEOUT_MS 10000

#define REG_DMA_FROM	0x80
#define REG_DMA_TO	0x88
#define REG_DMA_COUNT	0x90
#define REG_DMA_COMMAND	0x98
#define DMA_START	0x1
#define DMA_TO_MEMORY	0x2
#define DEVICE_MEMORY	0x40000

/**
 * struct edu - what the library has
 * @flat:	its context
 * @dma:	two buffers: to copy from, and to copy to
 * @regs:	BAR 0
 */
struct edu {
	struct flatiommu *flat;
	struct flatiommu_dma *dma;
	char *regs;
};

static const char header[] = "\2\0\0\0\0\2\2\0\0\0\0\1\x88\xb5";

static void fill(char *data, unsigned int number)
{
	unsigned int i;

	memcpy(data, header, sizeof(header) - 1);
	for (i = sizeof(header) - 1; i < LENGTH; i++)
		data[i] = (char)(number + i);
}

static int edu_open(struct edu *edu, const char *bdf)
{
	struct flatiommu_device *device;
	void *regs;
	int err = flatiommu_open(&edu->flat);

	if (err)
		return err;
	err = flatiommu_device_open(edu->flat, bdf, &device);
	if (!err)
		err = flatiommu_bar_map(device, 0, 0, 0, 0, &regs);
	if (!err)
		err = flatiommu_dma_alloc(edu->flat, 8192, &(struct flatiommu_dma_options){
			.flags = FLATIOMMU_DMA_CONTIGUOUS }, &edu->dma);
	if (!err)
		err = flatiommu_bus_master(device, true);
	if (err)
		fprintf(stderr, "beside: %s\n", flatiommu_reason(edu->flat));
	else
		edu->regs = regs;
	return err;
}

static bool edu_copy(const struct edu *edu, uint64_t from, uint64_t to, uint64_t command)
{
	unsigned int i;

	flatiommu_write64(edu->regs + REG_DMA_FROM, from);
	flatiommu_write64(edu->regs + REG_DMA_TO, to);
	flatiommu_write64(edu->regs + REG_DMA_COUNT, LENGTH);
	flatiommu_write64(edu->regs + REG_DMA_COMMAND, command | DMA_START);
	for (i = 0; flatiommu_read32(edu->regs + REG_DMA_COMMAND) & DMA_START; i++) {
		if (i == TIMEOUT_MS)
			return false;
		rte_delay_us_sleep(1000);
	}
	return true;
}

static bool edu_copies(const struct edu *edu, unsigned int number)
{
	char *memory = edu->dma->memory;
	uint64_t bus = flatiommu_dma_address(edu->dma, 0);

	fill(memory, number);
	memset(memory + 4096, 0, LENGTH);
	return edu_copy(edu, bus, DEVICE_MEMORY, 0) &&
	       edu_copy(edu, DEVICE_MEMORY, bus + 4096, DMA_TO_MEMORY) &&
	       !memcmp(memory, memory + 4096, LENGTH);
}

static int start(uint16_t port, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_link link;
	int err;

	err = rte_eth_dev_configure(port, 1, 1, &conf);
	if (!err)
		err = rte_eth_rx_queue_setup(port, 0, 256, 0, NULL, pool);
	if (!err)
		err = rte_eth_tx_queue_setup(port, 0, 512, 0, NULL);
	if (!err)
		err = rte_eth_dev_start(port);
	if (!err)
		err = rte_eth_promiscuous_enable(port);
	return err ? err : rte_eth_link_get(port, &link);
}

static bool frame_arrives(struct rte_mempool *pool, unsigned int number)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);
	char expected[LENGTH];
	unsigned int i;
	bool good;

	if (!frame)
		return false;
	fill(expected, number);
	memcpy(rte_pktmbuf_append(frame, LENGTH), expected, LENGTH);
	if (rte_eth_tx_burst(0, 0, &frame, 1) != 1)
		return false;
	for (i = 0; rte_eth_rx_burst(1, 0, &frame, 1) != 1; i++) {
		if (i == TIMEOUT_MS)
			return false;
		rte_delay_us_sleep(1000);
	}
	good = rte_pktmbuf_data_len(frame) == LENGTH &&
	       !memcmp(rte_pktmbuf_mtod(frame, char *), expected, LENGTH);
	rte_pktmbuf_free(frame);
	return good;
}

/* @pool or @edu may be NULL. */
static void work(const char *when, struct rte_mempool *pool, const struct edu *edu, unsigned int count)
{
	unsigned int i, frames = 0, copies = 0;

	for (i = 0; i < count; i++) {
		frames += pool && frame_arrives(pool, i);
		copies += edu && edu_copies(edu, i);
	}
	printf("%s: %u frames, %u copies\n", when, frames, copies);
}

static int run(const char *bdf, const char *port, unsigned int count)
{
	struct flatiommu_device *taken;
	struct rte_mempool *pool;
	struct edu edu = { 0 };
	int err;

	pool = rte_pktmbuf_pool_create("frames", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	err = pool ? start(0, pool) : -ENOMEM;
	if (!err)
		err = start(1, pool);
	if (!err)
		err = edu_open(&edu, bdf);
	if (err)
		return err;
	printf("backend: %s\n", flatiommu_backend(edu.flat));
	work("both", pool, &edu, count);
	err = flatiommu_device_open(edu.flat, port, &taken);
	printf("port: %s: %s\n", strerrorname_np(-err), err ? flatiommu_reason(edu.flat) : "opened");
	flatiommu_close(edu.flat);
	work("DPDK alone", pool, NULL, count);
	err = edu_open(&edu, bdf);
	if (err)
		return err;
	work("both again", pool, &edu, count);
	rte_eth_dev_stop(0);
	rte_eth_dev_stop(1);
	rte_eth_dev_close(0);
	rte_eth_dev_close(1);
	rte_eal_cleanup();
	work("the library alone", NULL, &edu, count);
	flatiommu_close(edu.flat);
	return 0;
}

int main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv), err;

	if (used < 0 || argc - used != 4) {
		fprintf(stderr, "usage: beside EAL_OPTIONS... -- EDU PORT COUNT\n");
		return 2;
	}
	err = run(argv[used + 1], argv[used + 2], (unsigned int)atoi(argv[used + 3]));
	if (err)
		fprintf(stderr, "beside: %s\n", strerror(-err));
	return err != 0;
}
