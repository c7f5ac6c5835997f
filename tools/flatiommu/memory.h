/* SPDX-License-Identifier: MIT */
/* Memory that a process can get. */
#ifndef MEMORY_H
#define MEMORY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "hugefiles.h"
#include "movable.h"

#define HUGEPAGES "/sys/kernel/mm/hugepages"

/**
 * struct pool - huge pages of one size
 * @size:	of a page, in bytes
 * @total:	that there are
 * @free:	of these, neither taken nor promised
 * @here:	of these, on nodes that the process may use
 * @more:	that the kernel makes on demand, if it can
 * @allowed:	bytes that the process's cgroups leave it, or ~0ULL
 * @limit:	the file with the limit that says so
 * @files:	what holds pages for nobody
 */
struct pool {
	unsigned long long size, total, free, here, more, allowed;
	char limit[PATH_MAX];
	struct hugefiles files;
};

#define POOLS_MAX 8

/**
 * struct memory - what a process can get
 * @pool:	of each size that the machine has
 * @nr_pools:	how many
 * @users:	programs that have huge pages: "dpdk-testpmd[123]", or ""
 * @nodes:	that the process may use: "0-1", or "" where the kernel does not say
 * @movable:	whether there are huge pages in ZONE_MOVABLE
 * @allowed:	bytes of ordinary memory that its cgroups leave it, or ~0ULL
 * @limit:	the file with the limit that says so
 * @memlock:	its RLIMIT_MEMLOCK; ~0ULL is no limit
 * @locked:	bytes that it has locked or pinned
 * @service:	of systemd, that it runs in: "nginx.service", or ""
 */
struct memory {
	struct pool pool[POOLS_MAX];
	size_t nr_pools;
	char users[256];
	char nodes[256];
	enum movable movable;
	unsigned long long allowed;
	char limit[PATH_MAX];
	unsigned long long memlock, locked;
	char service[256];
};

/* @pid is a number or self. */
void memory_read(struct memory *memory, const char *pid);

/* Number of pages that the process can get. */
unsigned long long pool_available(const struct pool *pool);
/* The same for all sizes together. */
unsigned long long memory_pages(const struct memory *memory);
unsigned long long memory_bytes(const struct memory *memory);

/* Number of free pages on a node. */
unsigned long long pool_on_node(const struct pool *pool, int node);

/* "2 MiB" */
const char *size_text(unsigned long long size, char *buf, size_t len);
#define SIZE_TEXT(size) size_text(size, (char[32]){ 0 }, 32)

/* Bytes of all huge pages that are reserved, in all sizes. */
unsigned long long hugepage_bytes(void);

/* Maximum number of type1's mappings for a process; ~0ULL if type1 is not loaded. */
unsigned long long entry_limit(void);

#define ENTRY_LIMIT "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

/* A command that raises it, enough for this number of huge pages and other maps. */
#define RAISE_ENTRY_LIMIT "echo %llu >" ENTRY_LIMIT
#define SPARE_ENTRIES 65536

/* Number of huge pages of the default size to reserve if there are none, and memory allows it. */
unsigned long long hugepages_to_reserve(void);

/* A command for that. */
#define RESERVE_HUGEPAGES "echo %llu >/proc/sys/vm/nr_hugepages"

/* Would that fit what this process may lock? */
bool may_lock(unsigned long long bytes);

#endif
