/* SPDX-License-Identifier: MIT */
/*
 * Device registers, and the order between them and memory that the device reads and writes.
 *
 * Registers are little endian, as PCI's are, and so is the processor. Each access is one access of
 * that width, and is neither left out nor repeated by the compiler. Any thread may call these; none of
 * them fails. A function that is gone answers
 * reads with all bits set.
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
 * x86 keeps loads in order, and stores to memory and to uncached registers too: holding back the
 * compiler is enough but for write-combined stores and a store before a load. On arm64 devices are
 * in the outer shareable domain.
 */

/** flatiommu_rmb() - what was read before this was read before what is read after it */
static inline void flatiommu_rmb(void)
{
#ifdef __x86_64__
	__asm__ volatile("" ::: "memory");
#else
	__asm__ volatile("dmb oshld" ::: "memory");
#endif
}

/** flatiommu_wmb() - the device sees stores to memory in the order before and after this */
static inline void flatiommu_wmb(void)
{
#ifdef __x86_64__
	__asm__ volatile("" ::: "memory");
#else
	__asm__ volatile("dmb oshst" ::: "memory");
#endif
}

/** flatiommu_mb() - loads and stores of before come before those of after this, for the device */
static inline void flatiommu_mb(void)
{
#ifdef __x86_64__
	__asm__ volatile("mfence" ::: "memory");
#else
	__asm__ volatile("dmb osh" ::: "memory");
#endif
}

/** flatiommu_wc_flush() - stores to a write-combined BAR go out before what follows */
static inline void flatiommu_wc_flush(void)
{
#ifdef __x86_64__
	__asm__ volatile("sfence" ::: "memory");
#else
	__asm__ volatile("dsb st" ::: "memory");
#endif
}

/* A load from memory that follows the read in the program may use what the device wrote before. */
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
 * What the program stored to memory before is there when the device sees the write. What it loaded
 * before may still be under way on arm64: where the write lets the device change that, call
 * flatiommu_mb() first. Stores to a write-combined BAR take flatiommu_wc_flush().
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
