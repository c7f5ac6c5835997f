/* SPDX-License-Identifier: MIT */
/*
 * Device registers, and the order between them and memory that the device reads and writes.
 *
 * Registers are little endian, as PCI's are, and so is the processor. Each call makes one access of
 * its width, which the compiler neither omits nor repeats. Any thread may call these functions;
 * none fails. A read from a function that is gone returns all bits set.
 */
#ifndef FLATIOMMU_MMIO_H
#define FLATIOMMU_MMIO_H

#include <stdint.h>

#if !defined(__x86_64__) && \
	!(defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
#error "flatiommu/mmio.h is for x86-64 and little endian arm64"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * x86 keeps loads in order, and stores to memory and to uncached registers, too. So it is enough to
 * hold the compiler back, except for write-combined stores and for a store before a load. On arm64
 * devices are in the outer shareable domain.
 */

/** flatiommu_rmb() - orders reads: those before it are done before those after it */
static inline void flatiommu_rmb(void)
{
#ifdef __x86_64__
	__asm__ volatile("" ::: "memory");
#else
	__asm__ volatile("dmb oshld" ::: "memory");
#endif
}

/** flatiommu_wmb() - orders stores to memory: the device sees those before it first */
static inline void flatiommu_wmb(void)
{
#ifdef __x86_64__
	__asm__ volatile("" ::: "memory");
#else
	__asm__ volatile("dmb oshst" ::: "memory");
#endif
}

/** flatiommu_mb() - orders loads and stores: the device sees those before it first */
static inline void flatiommu_mb(void)
{
#ifdef __x86_64__
	__asm__ volatile("mfence" ::: "memory");
#else
	__asm__ volatile("dmb osh" ::: "memory");
#endif
}

/** flatiommu_wc_flush() - sends stores to a write-combined BAR out before any later access */
static inline void flatiommu_wc_flush(void)
{
#ifdef __x86_64__
	__asm__ volatile("sfence" ::: "memory");
#else
	__asm__ volatile("dsb st" ::: "memory");
#endif
}

/* A load from memory after the read sees all data that the device wrote before it answered. */
static inline uint8_t flatiommu_read8(const volatile void *reg)
{
	uint8_t value = *(const volatile uint8_t *)reg;

	flatiommu_rmb();
	return value;
}

static inline uint16_t flatiommu_read16(const volatile void *reg)
{
	uint16_t value = *(const volatile uint16_t *)reg;

	flatiommu_rmb();
	return value;
}

static inline uint32_t flatiommu_read32(const volatile void *reg)
{
	uint32_t value = *(const volatile uint32_t *)reg;

	flatiommu_rmb();
	return value;
}

static inline uint64_t flatiommu_read64(const volatile void *reg)
{
	uint64_t value = *(const volatile uint64_t *)reg;

	flatiommu_rmb();
	return value;
}

/*
 * Earlier stores to memory are visible when the device sees the write. On arm64 earlier loads may
 * still be in progress: if the write lets the device change that memory, call flatiommu_mb() first.
 * Stores to a write-combined BAR need flatiommu_wc_flush().
 */
static inline void flatiommu_write8(volatile void *reg, uint8_t value)
{
	flatiommu_wmb();
	*(volatile uint8_t *)reg = value;
}

static inline void flatiommu_write16(volatile void *reg, uint16_t value)
{
	flatiommu_wmb();
	*(volatile uint16_t *)reg = value;
}

static inline void flatiommu_write32(volatile void *reg, uint32_t value)
{
	flatiommu_wmb();
	*(volatile uint32_t *)reg = value;
}

static inline void flatiommu_write64(volatile void *reg, uint64_t value)
{
	flatiommu_wmb();
	*(volatile uint64_t *)reg = value;
}

#ifdef __cplusplus
}
#endif

#endif /* FLATIOMMU_MMIO_H */
