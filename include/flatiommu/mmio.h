/* SPDX-License-Identifier: MIT */
/*
 * Device registers, and the order between them and memory that the device reads and writes.
 *
 * Registers are little endian, as PCI's are, and so is the processor. Each call is one access of
 * that width, which the compiler neither leaves out nor repeats. Any thread may call these
 * functions; they return no error. If the PCI function is gone, reads return all bits set: on x86,
 * and on arm64 if the host bridge answers so. With other host bridges a read may raise SIGBUS, or
 * end in an SError, which may stop the machine. If the function's memory space is off (command
 * register) or it sleeps (D3hot), the kernel takes the mapping away, and an access raises SIGBUS,
 * which flatiommu_sigbus_catch() turns into an error.
 */
#ifndef FLATIOMMU_MMIO_H
#define FLATIOMMU_MMIO_H

#include <stdint.h>

/*
 * Functions that the compiler puts into the program. The library exports them, too, for languages
 * that cannot include this header.
 */
#ifndef FLATIOMMU_INLINE
#define FLATIOMMU_INLINE static inline
#endif

#if !defined(__x86_64__) && \
	!(defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
#error "flatiommu/mmio.h is for x86-64 and little endian arm64"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * x86 keeps loads in order, and also stores to memory and to uncached registers. So a barrier for
 * the compiler is enough, except for write-combined stores and for a store before a load. On arm64
 * devices are in the outer shareable domain.
 */

/** flatiommu_rmb() - loads and register reads before this happen before loads after it */
FLATIOMMU_INLINE void flatiommu_rmb(void)
{
#ifdef __x86_64__
	__asm__ volatile("" ::: "memory");
#else
	__asm__ volatile("dmb oshld" ::: "memory");
#endif
}

/** flatiommu_wmb() - the device sees stores to memory before this before those after it */
FLATIOMMU_INLINE void flatiommu_wmb(void)
{
#ifdef __x86_64__
	__asm__ volatile("" ::: "memory");
#else
	__asm__ volatile("dmb oshst" ::: "memory");
#endif
}

/** flatiommu_mb() - the device sees loads and stores before this before those after it */
FLATIOMMU_INLINE void flatiommu_mb(void)
{
#ifdef __x86_64__
	__asm__ volatile("mfence" ::: "memory");
#else
	__asm__ volatile("dmb osh" ::: "memory");
#endif
}

/** flatiommu_wc_flush() - sends stores to a write-combined BAR out before any later access */
FLATIOMMU_INLINE void flatiommu_wc_flush(void)
{
#ifdef __x86_64__
	__asm__ volatile("sfence" ::: "memory");
#else
	__asm__ volatile("dsb st" ::: "memory");
#endif
}

/*
 * One load and one store. On arm64 the address is a base register and nothing else: a hypervisor
 * cannot emulate accesses that change their base register or have two values (Arm ARM, ESR_ELx,
 * ISS.ISV), and a compiler may turn volatile accesses in a loop into such ones.
 */
#ifdef __x86_64__
#define FLATIOMMU_LOAD(type, instruction, reg, value) ((value) = *(const volatile type *)(reg))
#define FLATIOMMU_STORE(type, instruction, reg, value) (*(volatile type *)(reg) = (value))
#else
#define FLATIOMMU_LOAD(type, instruction, reg, value) \
	__asm__ volatile(instruction " %1" : "=r"(value) : "Q"(*(const volatile type *)(reg)))
#define FLATIOMMU_STORE(type, instruction, reg, value) \
	__asm__ volatile(instruction " %0" : "=Q"(*(volatile type *)(reg)) : "rZ"(value))
#endif

/*
 * Accesses that are ordered only with other accesses to the same device's registers. For an order
 * with memory call flatiommu_rmb() or flatiommu_wmb(), once for many of these.
 */
FLATIOMMU_INLINE uint8_t flatiommu_read8_relaxed(const volatile void *reg)
{
	uint8_t value;

	FLATIOMMU_LOAD(uint8_t, "ldrb %w0,", reg, value);
	return value;
}

FLATIOMMU_INLINE uint16_t flatiommu_read16_relaxed(const volatile void *reg)
{
	uint16_t value;

	FLATIOMMU_LOAD(uint16_t, "ldrh %w0,", reg, value);
	return value;
}

FLATIOMMU_INLINE uint32_t flatiommu_read32_relaxed(const volatile void *reg)
{
	uint32_t value;

	FLATIOMMU_LOAD(uint32_t, "ldr %w0,", reg, value);
	return value;
}

FLATIOMMU_INLINE uint64_t flatiommu_read64_relaxed(const volatile void *reg)
{
	uint64_t value;

	FLATIOMMU_LOAD(uint64_t, "ldr %x0,", reg, value);
	return value;
}

FLATIOMMU_INLINE void flatiommu_write8_relaxed(volatile void *reg, uint8_t value)
{
	FLATIOMMU_STORE(uint8_t, "strb %w1,", reg, value);
}

FLATIOMMU_INLINE void flatiommu_write16_relaxed(volatile void *reg, uint16_t value)
{
	FLATIOMMU_STORE(uint16_t, "strh %w1,", reg, value);
}

FLATIOMMU_INLINE void flatiommu_write32_relaxed(volatile void *reg, uint32_t value)
{
	FLATIOMMU_STORE(uint32_t, "str %w1,", reg, value);
}

FLATIOMMU_INLINE void flatiommu_write64_relaxed(volatile void *reg, uint64_t value)
{
	FLATIOMMU_STORE(uint64_t, "str %x1,", reg, value);
}

/*
 * Orders a register's read before later loads, and before later reads of the clock. On arm64 the
 * clock needs a branch that depends on the value, and the ISB with which clock_gettime() begins.
 */
#ifdef __x86_64__
#define FLATIOMMU_AFTER_LOAD(value) flatiommu_rmb()
#else
#define FLATIOMMU_AFTER_LOAD(value) \
	do { \
		flatiommu_rmb(); \
		__asm__ volatile("cbnz %x0, 1f\n1:" : : "r"((uint64_t)(value)) : "memory"); \
	} while (0)
#endif

/*
 * A later load from memory sees the data that the device wrote before it answered the read. A delay
 * after the read begins when the device has answered.
 */
FLATIOMMU_INLINE uint8_t flatiommu_read8(const volatile void *reg)
{
	uint8_t value = flatiommu_read8_relaxed(reg);

	FLATIOMMU_AFTER_LOAD(value);
	return value;
}

FLATIOMMU_INLINE uint16_t flatiommu_read16(const volatile void *reg)
{
	uint16_t value = flatiommu_read16_relaxed(reg);

	FLATIOMMU_AFTER_LOAD(value);
	return value;
}

FLATIOMMU_INLINE uint32_t flatiommu_read32(const volatile void *reg)
{
	uint32_t value = flatiommu_read32_relaxed(reg);

	FLATIOMMU_AFTER_LOAD(value);
	return value;
}

FLATIOMMU_INLINE uint64_t flatiommu_read64(const volatile void *reg)
{
	uint64_t value = flatiommu_read64_relaxed(reg);

	FLATIOMMU_AFTER_LOAD(value);
	return value;
}

/*
 * Earlier stores to memory are visible when the device sees the write. On arm64 earlier loads may
 * still be in progress: if the write lets the device change that memory, call flatiommu_mb() first.
 * Stores to a write-combined BAR need flatiommu_wc_flush().
 */
FLATIOMMU_INLINE void flatiommu_write8(volatile void *reg, uint8_t value)
{
	flatiommu_wmb();
	flatiommu_write8_relaxed(reg, value);
}

FLATIOMMU_INLINE void flatiommu_write16(volatile void *reg, uint16_t value)
{
	flatiommu_wmb();
	flatiommu_write16_relaxed(reg, value);
}

FLATIOMMU_INLINE void flatiommu_write32(volatile void *reg, uint32_t value)
{
	flatiommu_wmb();
	flatiommu_write32_relaxed(reg, value);
}

FLATIOMMU_INLINE void flatiommu_write64(volatile void *reg, uint64_t value)
{
	flatiommu_wmb();
	flatiommu_write64_relaxed(reg, value);
}

/*
 * 64 bits in two accesses of 32 bits, for a device that has no 64-bit accesses: the low half first
 * (lh), or the high half first (hl). The data sheet says which order the device needs.
 */
FLATIOMMU_INLINE uint64_t flatiommu_read64_lh(const volatile void *reg)
{
	uint64_t low = flatiommu_read32(reg);

	return (uint64_t)flatiommu_read32((const volatile char *)reg + 4) << 32 | low;
}

FLATIOMMU_INLINE uint64_t flatiommu_read64_hl(const volatile void *reg)
{
	uint64_t high = flatiommu_read32((const volatile char *)reg + 4);

	return high << 32 | flatiommu_read32(reg);
}

FLATIOMMU_INLINE void flatiommu_write64_lh(volatile void *reg, uint64_t value)
{
	flatiommu_write32(reg, (uint32_t)value);
	flatiommu_write32((volatile char *)reg + 4, (uint32_t)(value >> 32));
}

FLATIOMMU_INLINE void flatiommu_write64_hl(volatile void *reg, uint64_t value)
{
	flatiommu_write32((volatile char *)reg + 4, (uint32_t)(value >> 32));
	flatiommu_write32(reg, (uint32_t)value);
}

#undef FLATIOMMU_AFTER_LOAD
#undef FLATIOMMU_LOAD
#undef FLATIOMMU_STORE

#ifdef __cplusplus
}
#endif

#endif /* FLATIOMMU_MMIO_H */
