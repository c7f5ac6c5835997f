// SPDX-License-Identifier: MIT
/* The registers are described in QEMU's docs/specs/edu.txt. */
#include "edu.h"

#include <errno.h>
#include <stdbool.h>

#include "test.h"

#define REG_ID 0x00
#define REG_IRQ_STATUS 0x24
#define REG_IRQ_RAISE 0x60
#define REG_IRQ_ACK 0x64
#define REG_DMA_FROM 0x80
#define REG_DMA_TO 0x88
#define REG_DMA_COUNT 0x90
#define REG_DMA_COMMAND 0x98

#define DMA_START 1
#define DMA_TO_MEMORY 2

#define BUFFER 0x40000

static volatile uint32_t *reg(void *bar0, unsigned int offset)
{
	return (volatile uint32_t *)((char *)bar0 + offset);
}

/* The registers of the DMA engine are of 64 bits. */
static volatile uint64_t *wide(void *bar0, unsigned int offset)
{
	return (volatile uint64_t *)((char *)bar0 + offset);
}

int edu_identify(void *bar0)
{
	return (*reg(bar0, REG_ID) & 0xffff) == 0x00ed ? 0 : -ENODEV;
}

static bool dma_is_over(void *bar0)
{
	return !(*wide(bar0, REG_DMA_COMMAND) & DMA_START);
}

static void begin_dma(void *bar0, uint64_t from, uint64_t to, size_t size, uint64_t command)
{
	__sync_synchronize();
	*wide(bar0, REG_DMA_FROM) = from;
	*wide(bar0, REG_DMA_TO) = to;
	*wide(bar0, REG_DMA_COUNT) = size;
	*wide(bar0, REG_DMA_COMMAND) = DMA_START | command;
}

static int dma(void *bar0, uint64_t from, uint64_t to, size_t size, uint64_t command)
{
	begin_dma(bar0, from, to, size, command);
	return wait_until(dma_is_over, bar0) ? 0 : -ETIMEDOUT;
}

int edu_load(void *bar0, uint64_t bus, size_t size)
{
	return dma(bar0, bus, BUFFER, size, 0);
}

int edu_store(void *bar0, uint64_t bus, size_t size)
{
	return dma(bar0, BUFFER, bus, size, DMA_TO_MEMORY);
}

void edu_begin_store(void *bar0, uint64_t bus, size_t size)
{
	begin_dma(bar0, BUFFER, bus, size, DMA_TO_MEMORY);
}

void edu_raise(void *bar0, uint32_t reason)
{
	*reg(bar0, REG_IRQ_RAISE) = reason;
}

uint32_t edu_reason(void *bar0)
{
	return *reg(bar0, REG_IRQ_STATUS);
}

void edu_acknowledge(void *bar0, uint32_t reason)
{
	*reg(bar0, REG_IRQ_ACK) = reason;
}
