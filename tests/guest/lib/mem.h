/* SPDX-License-Identifier: MIT */
/* Memory for devices, its bus addresses, and the kernel's count of pins. */
#ifndef TEST_MEM_H
#define TEST_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

/* An ordinary page of the kernel that runs, and what a page of page table entries is for. */
#define PAGE ((size_t)sysconf(_SC_PAGESIZE))
#define MAX_PAGE 65536	/* of any kernel */
#define HUGE_PAGE (PAGE / 8 * PAGE)
#define GIANT_PAGE ((size_t)1 << 30)

/* Ordinary pages, written to, none of them part of a huge one; NULL when there are none. */
void *mem_pages(size_t count);
/* Pages that are shared with children and other mappings of the file. */
void *mem_shared(size_t count);
/*
 * As mem_pages(), and no two neighbours are neighbours on the bus, which holds until the kernel compacts
 * memory: with many pages, ask mem_runs() once they are pinned.
 */
void *mem_scattered(size_t count);
/* One huge page of hugetlb. */
void *mem_huge(void);
/* The same of 1 GiB, which a machine has from its start or not at all. */
bool mem_has_giant(void);
void *mem_giant(void);
/* A transparent huge page, aligned to its size; NULL also where the kernel has none. */
void *mem_transparent(void);
/* A file's pages, in one map, of which hardly two neighbours are neighbours on the bus. */
void *mem_file_scattered(size_t count);
void mem_free(void *addr, size_t size);

/* How many huge pages of hugetlb there are to be: 0 or -errno, -ENOMEM where there are less. */
int huge_pages(long count);

/*
 * Where the page is now, or 0. For root. By pagemap, as a second opinion on what the module says, and
 * for memory that is not pinned; nothing that is no test should do this.
 */
uint64_t bus_address(const void *addr);
/* The same for @count pages at once; 0 or -errno. */
int bus_addresses(const void *addr, uint64_t *bus, size_t count);

/* How many pieces the pages at @addr are in on the bus. */
size_t mem_runs(const void *addr, size_t count);

/* Pins taken and not given back since the machine started. */
long pins(void);

/* A line of this process's status, such as "VmLck:", in KiB; -1 where there is none. */
long status_kib(const char *key);

void fill(void *addr, size_t size, uint32_t seed);
/* Is it what fill() wrote? */
int is_filled(const void *addr, size_t size, uint32_t seed);

#endif
