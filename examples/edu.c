// SPDX-License-Identifier: MIT
/*
 * edu BDF [ADDRESS_BITS]: a whole driver, to be copied. QEMU's edu device (docs/specs/edu.txt)
 * copies 2 KiB into itself and out again by DMA, and interrupts when it is done. It has 28 address
 * bits, unless QEMU's option dma_mask= says otherwise.
 */
#include <errno.h>
#include <flatiommu.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REG_ID		0x00
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
#define SIZE		2048

static int copy(char *regs, int irq, uint64_t from, uint64_t to, uint64_t size, uint64_t command)
{
	struct pollfd wait = { .fd = irq, .events = POLLIN };
	uint64_t count;

	flatiommu_write64(regs + REG_DMA_FROM, from);
	flatiommu_write64(regs + REG_DMA_TO, to);
	flatiommu_write64(regs + REG_DMA_COUNT, size);
	flatiommu_write64(regs + REG_DMA_COMMAND, command | DMA_START | DMA_INTERRUPT);
	if (poll(&wait, 1, 10000) != 1 || read(irq, &count, sizeof(count)) < 0)
		return -ETIMEDOUT;
	flatiommu_write32(regs + REG_IRQ_ACK, flatiommu_read32(regs + REG_IRQ_STATUS));
	return 0;
}

static int run(struct flatiommu *flat, const char *bdf, unsigned int bits, int irq)
{
	struct flatiommu_device *device;
	struct flatiommu_dma *dma;
	void *regs;
	uint64_t bus;
	int err;

	err = flatiommu_device_open(flat, bdf, &device);
	if (!err)
		err = flatiommu_bar_map(device, 0, 0, 0, 0, &regs);
	if (!err)
		err = flatiommu_dma_alloc(flat, 2 * SIZE, &(struct flatiommu_dma_options){
			.address_bits = bits, .flags = FLATIOMMU_DMA_CONTIGUOUS }, &dma);
	if (!err)
		err = flatiommu_irq_enable(device, FLATIOMMU_IRQ_MSI, 0, 1, &irq);
	if (!err)
		err = flatiommu_bus_master(device, true);
	if (err)
		return err;

	printf("id       %#x\nbackend  %s\n", flatiommu_read32((char *)regs + REG_ID),
	       flatiommu_backend(flat));
	memset(dma->memory, 0xa5, SIZE);
	bus = flatiommu_dma_address(dma, 0);
	err = copy(regs, irq, bus, DEVICE_MEMORY, SIZE, 0);
	if (!err)
		err = copy(regs, irq, DEVICE_MEMORY, bus + SIZE, SIZE, DMA_TO_MEMORY);
	if (!err)
		printf("copied   %s\n", memcmp(dma->memory, (char *)dma->memory + SIZE, SIZE) ?
		       "wrongly" : "2048 bytes, there and back");
	return err;
}

int main(int argc, char **argv)
{
	struct flatiommu *flat;
	int irq = eventfd(0, EFD_CLOEXEC), err;

	if (argc < 2 || irq < 0 || flatiommu_open(&flat))
		return 2;
	err = run(flat, argv[1], argc > 2 ? (unsigned int)atoi(argv[2]) : 28, irq);
	if (err)
		fprintf(stderr, "edu: %s\n", err == -ETIMEDOUT ? "no interrupt" : flatiommu_reason(flat));
	/* Stops the device before it lets the memory go. */
	flatiommu_close(flat);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
