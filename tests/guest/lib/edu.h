/* SPDX-License-Identifier: MIT */
/* QEMU's edu device: it copies between memory and a buffer of its own. */
#ifndef TEST_EDU_H
#define TEST_EDU_H

#include <stddef.h>
#include <stdint.h>

/* The buffer is one page. QEMU 7.2 aborts if a copy reaches its last byte. */
#define EDU_COPY ((size_t)2048)

/* @bar0 is the mapped BAR 0. They return 0 or -errno: -ETIMEDOUT if a copy does not end. */
int edu_identify(void *bar0);
/* Copy from memory into the buffer, and from the buffer to memory. */
int edu_load(void *bar0, uint64_t bus, size_t size);
int edu_store(void *bar0, uint64_t bus, size_t size);
/* The same without waiting: the device starts the copy a moment later. */
void edu_begin_store(void *bar0, uint64_t bus, size_t size);

/* Bits of an interrupt's reason. The interrupt line stays asserted until all are acknowledged. */
void edu_raise(void *bar0, uint32_t reason);
uint32_t edu_reason(void *bar0);
void edu_acknowledge(void *bar0, uint32_t reason);

#endif
