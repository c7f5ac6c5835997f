// SPDX-License-Identifier: MIT
/*
 * rx-interrupt EAL_OPTIONS... -- COUNT: sends frames from port 0, one at a time, and sleeps until an interrupt of
 * port 1's queue tells that it has come. All but this file is DPDK's as Debian has it: no program in its
 * packages waits for packets in its sleep.
 */
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_interrupts.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH 1000
#define TIMEOUT_MS 10000

static const char header[] = "\2\0\0\0\0\2\2\0\0\0\0\1\x88\xb5";

static int start(uint16_t port, struct rte_mempool *pool, bool interrupts)
{
	struct rte_eth_conf conf = { .intr_conf.rxq = interrupts };
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
	if (!err)
		err = rte_eth_link_get(port, &link);
	if (!err && interrupts)
		err = rte_eth_dev_rx_intr_ctl_q(port, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, NULL);
	return err;
}

static bool send_one(struct rte_mempool *pool, unsigned int number)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);
	char *data;
	unsigned int i;

	if (!frame)
		return false;
	data = rte_pktmbuf_append(frame, LENGTH);
	memcpy(data, header, sizeof(header) - 1);
	for (i = sizeof(header) - 1; i < LENGTH; i++)
		data[i] = (char)(number + i);
	return rte_eth_tx_burst(0, 0, &frame, 1) == 1;
}

/* The frame may be on its way to memory when the interrupt is here. */
static bool receive_one(unsigned int number)
{
	struct rte_mbuf *frame;
	bool good;
	char *data;
	unsigned int i;

	for (i = 0; rte_eth_rx_burst(1, 0, &frame, 1) != 1; i++) {
		if (i == TIMEOUT_MS)
			return false;
		rte_delay_us_sleep(1000);
	}
	data = rte_pktmbuf_mtod(frame, char *);
	good = rte_pktmbuf_data_len(frame) == LENGTH;
	for (i = sizeof(header) - 1; good && i < LENGTH; i++)
		good = data[i] == (char)(number + i);
	rte_pktmbuf_free(frame);
	return good;
}

static int wait_for(unsigned int count)
{
	struct rte_epoll_event event;
	struct rte_mempool *pool;
	unsigned int i, early = 0, woken = 0, good = 0;
	int err;

	pool = rte_pktmbuf_pool_create("frames", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!pool)
		return -ENOMEM;
	err = start(0, pool, false);
	if (!err)
		err = start(1, pool, true);
	for (i = 0; !err && i < count; i++) {
		err = rte_eth_dev_rx_intr_enable(1, 0);
		early += rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 20) > 0;
		if (err || !send_one(pool, i))
			break;
		woken += rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, TIMEOUT_MS) == 1;
		err = rte_eth_dev_rx_intr_disable(1, 0);
		good += receive_one(i);
	}
	printf("%u sent, %u early, %u woken, %u good\n", i, early, woken, good);
	return err;
}

int main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv), err;

	if (used < 0 || argc - used != 2) {
		fprintf(stderr, "usage: rx-interrupt EAL_OPTIONS... -- COUNT\n");
		return 2;
	}
	err = wait_for((unsigned int)atoi(argv[used + 1]));
	if (err)
		fprintf(stderr, "rx-interrupt: %s\n", strerror(-err));
	rte_eth_dev_stop(0);
	rte_eth_dev_stop(1);
	rte_eal_cleanup();
	return err != 0;
}
