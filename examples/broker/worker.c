// SPDX-License-Identifier: MIT
/* A driver without any privilege. The device is QEMU's edu, as in edu.c. */
#include <errno.h>
#include <flatiommu.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker.h"

#define REG_IRQ_STATUS	0x24
#define REG_IRQ_ACK	0x64
#define REG_DMA_FROM	0x80
#define REG_DMA_TO	0x88
#define REG_DMA_COUNT	0x90
#define REG_DMA_COMMAND	0x98

#define DMA_START	0x1
#define DMA_TO_MEMORY	0x2
#define DMA_INTERRUPT	0x4
#define DEVICE_MEMORY	0x40000

static int receive_fds(int from, int *fds)
{
	char byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	union fds_message fds_message;
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &fds_message,
		.msg_controllen = sizeof(fds_message),
	};

	if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message) ||
	    fds_message.header.cmsg_len != CMSG_LEN(NR_FDS * sizeof(int)))
		return -EBADMSG;
	memcpy(fds, CMSG_DATA(&fds_message.header), NR_FDS * sizeof(int));
	return 0;
}

/*
 * Waits for the copy of an earlier worker, which may have been killed before the copy was done.
 * Returns 0, -ENODEV or -ETIMEDOUT.
 */
static int settle(char *regs)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	uint64_t command;
	unsigned int i;

	for (i = 0; (command = flatiommu_read64(regs + REG_DMA_COMMAND)) & DMA_START; i++) {
		/* All ones: the device is gone. */
		if (command == UINT64_MAX)
			return -ENODEV;
		if (i == 10000)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	flatiommu_write32(regs + REG_IRQ_ACK, flatiommu_read32(regs + REG_IRQ_STATUS));
	return 0;
}

static int copy(char *regs, int event, uint64_t from, uint64_t to, uint64_t command)
{
	struct pollfd wait = { .fd = event, .events = POLLIN };
	uint64_t count;

	flatiommu_write64(regs + REG_DMA_FROM, from);
	flatiommu_write64(regs + REG_DMA_TO, to);
	flatiommu_write64(regs + REG_DMA_COUNT, COPY_SIZE);
	flatiommu_write64(regs + REG_DMA_COMMAND, command | DMA_START | DMA_INTERRUPT);
	do {
		if (poll(&wait, 1, 10000) != 1 || read(event, &count, sizeof(count)) < 0)
			return -ETIMEDOUT;
		/* The interrupt may be of an earlier worker's copy. */
	} while (flatiommu_read64(regs + REG_DMA_COMMAND) & DMA_START);
	flatiommu_write32(regs + REG_IRQ_ACK, flatiommu_read32(regs + REG_IRQ_STATUS));
	return 0;
}

static int copy_all(const struct flatiommu_dma *dma, char *regs, int event)
{
	struct shared *shared = dma->memory;
	uint64_t from = flatiommu_dma_address(dma, offsetof(struct shared, from));
	uint64_t to = flatiommu_dma_address(dma, offsetof(struct shared, to));
	int err = 0;

	if (!err)
		err = settle(regs);
	while (!err && shared->done < shared->wanted) {
		memset(shared->from, (int)shared->done + 1, COPY_SIZE);
		err = copy(regs, event, from, DEVICE_MEMORY, 0);
		if (!err)
			err = copy(regs, event, DEVICE_MEMORY, to, DMA_TO_MEMORY);
		if (!err && memcmp(shared->from, shared->to, COPY_SIZE))
			err = -EIO;
		if (!err)
			shared->done++;
	}
	return err;
}

static void print_privileges(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];

	printf("worker   uid %d", (int)getuid());
	while (status && fgets(line, sizeof(line), status))
		if (!strncmp(line, "CapEff:", strlen("CapEff:")))
			printf(", capabilities %s", line + strlen("CapEff:\t"));
	if (status)
		fclose(status);
	fflush(stdout);
}

int work(void)
{
	struct flatiommu_device *device;
	struct flatiommu_dma *dma;
	struct flatiommu *flat;
	int fds[NR_FDS], err;
	void *regs;

	print_privileges();
	if (receive_fds(STDIN_FILENO, fds) || flatiommu_open(&flat))
		return EXIT_FAILURE;
	err = flatiommu_device_import(flat, fds[FD_DEVICE], "edu", &device);
	if (!err)
		err = flatiommu_bar_map(device, 0, 0, 0, 0, &regs);
	if (!err)
		err = flatiommu_irq_enable(device, FLATIOMMU_IRQ_MSI, 0, 1, &fds[FD_EVENT]);
	if (!err)
		err = flatiommu_dma_import(fds[FD_MEMORY], fds[FD_TABLE], &dma);
	if (!err) {
		err = copy_all(dma, regs, fds[FD_EVENT]);
		flatiommu_dma_free(dma);
	}
	if (err)
		fprintf(stderr, "broker: worker: %s %s\n", strerror(-err), flatiommu_reason(flat));
	flatiommu_close(flat);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
