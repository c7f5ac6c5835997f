/* SPDX-License-Identifier: MIT */
/*
 * Access to device registers, and the order between them and memory shared with the device.
 */
#ifndef EXAMPLE_MMIO_H
#define EXAMPLE_MMIO_H

#include <endian.h>
#include <stdint.h>

/*
 * x86 keeps stores to memory and to uncached registers in order, and loads too: holding back the
 * compiler is enough. arm64 needs a barrier for the outer shareable domain, where devices are.
 */
static inline void dma_barrier(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("dmb osh" ::: "memory");
#else
	__sync_synchronize();
#endif
}

/* NVMe registers are little endian: base specification 3.1.3. */
static inline uint32_t mmio_read32(const void *regs, uint32_t offset)
{
	const char *reg = (const char *)regs + offset;

	return le32toh(*(const volatile uint32_t *)reg);
}

/* What was stored to memory before this is visible to the device when it sees the write. */
static inline void mmio_write32(void *regs, uint32_t offset, uint32_t value)
{
	char *reg = (char *)regs + offset;

	dma_barrier();
	*(volatile uint32_t *)reg = htole32(value);
}

/* 64-bit properties may be accessed as two halves, on every machine: base specification 3.1.3. */
static inline uint64_t mmio_read64(const void *regs, uint32_t offset)
{
	uint64_t low = mmio_read32(regs, offset);

	return low | (uint64_t)mmio_read32(regs, offset + 4) << 32;
}

static inline void mmio_write64(void *regs, uint32_t offset, uint64_t value)
{
	mmio_write32(regs, offset, (uint32_t)value);
	mmio_write32(regs, offset + 4, (uint32_t)(value >> 32));
}

#endif
