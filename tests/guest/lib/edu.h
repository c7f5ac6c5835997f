/* SPDX-License-Identifier: MIT */
/* QEMU's edu device: it copies between memory and a buffer of its own. */
#ifndef TEST_EDU_H
#define TEST_EDU_H

#include <stddef.h>
#include <stdint.h>

/* The buffer has a page, and QEMU 7.2 ends itself when a copy reaches the last byte of it. */
#define EDU_COPY ((size_t)2048)

/* @bar0 of each is the device's, mapped. 0 or -errno, -ETIMEDOUT for a copy that does not end. */
int edu_identify(void *bar0);
/* From memory into the buffer, and from the buffer to memory. */
int edu_load(void *bar0, uint64_t bus, size_t size);
int edu_store(void *bar0, uint64_t bus, size_t size);
/* The same, which a moment later the device has yet to do. */
void edu_begin_store(void *bar0, uint64_t bus, size_t size);

/* Bits of an interrupt's reason; the interrupt line is up until all of them are acknowledged. */
void edu_raise(void *bar0, uint32_t reason);
uint32_t edu_reason(void *bar0);
void edu_acknowledge(void *bar0, uint32_t reason);

#endif
