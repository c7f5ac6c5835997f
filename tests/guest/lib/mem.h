/* SPDX-License-Identifier: MIT */
/* Memory for devices, its bus addresses, and the kernel's count of pins. */
#ifndef TEST_MEM_H
#define TEST_MEM_H

#include <stddef.h>
#include <stdint.h>

#define PAGE ((size_t)4096)
#define HUGE_PAGE ((size_t)2 << 20)

/* Ordinary pages, written to, none of them part of a huge one; NULL when there are none. */
void *mem_pages(size_t count);
/* Pages that are shared with children and other mappings of the file. */
void *mem_shared(size_t count);
/* As mem_pages(), and no two neighbours are neighbours on the bus. */
void *mem_scattered(size_t count);
/* One huge page of hugetlb. */
void *mem_huge(void);
void mem_free(void *addr, size_t size);

/* How many huge pages of hugetlb there are to be: 0 or -errno, -ENOMEM where there are less. */
int huge_pages(long count);

/* Where the page is now, or 0. For root. */
uint64_t bus_address(const void *addr);

/* Pins taken and not given back since the machine started. */
long pins(void);

void fill(void *addr, size_t size, uint32_t seed);
/* Is it what fill() wrote? */
int is_filled(const void *addr, size_t size, uint32_t seed);

#endif
