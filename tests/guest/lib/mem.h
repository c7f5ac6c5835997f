/* SPDX-License-Identifier: MIT */
/* Memory for devices, its bus addresses, and the kernel's count of pins. */
#ifndef TEST_MEM_H
#define TEST_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

/* Sizes of an ordinary page of the running kernel, and of the memory that a page of page table entries maps. */
#define PAGE ((size_t)sysconf(_SC_PAGESIZE))
#define MAX_PAGE 65536	/* of any kernel */
#define HUGE_PAGE (PAGE / 8 * PAGE)
#define GIANT_PAGE ((size_t)1 << 30)

/*
 * So many bits of an address reach a part of the memory of each machine, but not all. On arm64,
 * QEMU's memory begins at 1 GiB.
 */
#ifdef __aarch64__
#define LOW_BITS 31
#else
#define LOW_BITS 28
#endif

/* Returns ordinary pages, written to, none of them part of a huge page; NULL if there are none. */
void *mem_pages(size_t count);
/* Returns pages that are shared with children and other mappings of the file. */
void *mem_shared(size_t count);
/*
 * Like mem_pages(), but no two neighbours are neighbours on the bus, until the kernel compacts
 * memory: with many pages, check mem_runs() when they are pinned.
 */
void *mem_scattered(size_t count);
/* Returns one huge page of hugetlb. */
void *mem_huge(void);
/* The same with 1 GiB, which a machine has only if it is reserved at boot. */
bool mem_has_giant(void);
void *mem_giant(void);
/* Returns a transparent huge page, aligned to its size; NULL also if the kernel has none. */
void *mem_transparent(void);
/* Returns pages of a file, in one map. Hardly any two neighbours are neighbours on the bus. */
void *mem_file_scattered(size_t count);
void mem_free(void *addr, size_t size);

/* Sets the number of huge pages of hugetlb. Returns 0 or -errno: -ENOMEM if there are fewer. */
int huge_pages(long count);
/* Returns how many of them are free, or -errno. */
long free_huge_pages(void);

/*
 * Returns the present address of the page, or 0. It reads pagemap, and so needs root: a second opinion on
 * the module's answers, also for memory that is not pinned. Programs other than tests should not do this.
 */
uint64_t bus_address(const void *addr);
/* The same for @count pages at once. Returns 0 or -errno. */
int bus_addresses(const void *addr, uint64_t *bus, size_t count);

/* Returns the number of contiguous runs on the bus that the pages at @addr are in. */
size_t mem_runs(const void *addr, size_t count);

/* Returns the number of pins that were made since boot and still exist. */
long pins(void);

/* Returns a line of this process's status, such as "VmLck:", in KiB; -1 if there is none. */
long status_kib(const char *key);

void fill(void *addr, size_t size, uint32_t seed);
/* Does the memory have the data that fill() wrote? */
int is_filled(const void *addr, size_t size, uint32_t seed);

#endif
