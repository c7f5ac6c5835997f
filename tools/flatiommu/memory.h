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
 * @size:	bytes of a page
 * @total:	number of pages
 * @free:	pages that are neither used nor reserved
 * @here:	free pages on nodes that the process may use
 * @more:	pages that the kernel makes on demand, if it can
 * @allowed:	bytes that the process may still use by its cgroups, or ~0ULL
 * @limit:	the file with that limit
 * @files:	files with pages that no program uses
 */
struct pool {
	unsigned long long size, total, free, here, more, allowed;
	char limit[PATH_MAX];
	struct hugefiles files;
};

#define POOLS_MAX 8

/**
 * struct memory - memory that a process can get
 * @pool:	one for each size of huge pages
 * @nr_pools:	number of @pool
 * @users:	programs that have huge pages: "dpdk-testpmd[123]", or ""
 * @nodes:	nodes that the process may use: "0-1", or "" if the kernel does not tell
 * @movable:	whether there are huge pages in ZONE_MOVABLE
 * @allowed:	bytes of ordinary memory that it may still use by its cgroups, or ~0ULL
 * @limit:	the file with that limit
 * @memlock:	its RLIMIT_MEMLOCK; ~0ULL is no limit
 * @locked:	bytes that it has locked or pinned
 * @service:	the systemd service that it runs in: "nginx.service", or ""
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
/* Sum of pages of all sizes that the process can get. */
unsigned long long memory_pages(const struct memory *memory);
unsigned long long memory_bytes(const struct memory *memory);

/* Number of free pages on a node. */
unsigned long long pool_on_node(const struct pool *pool, int node);

/* "2 MiB" */
const char *size_text(unsigned long long size, char *buf, size_t len);
#define SIZE_TEXT(size) size_text(size, (char[32]){ 0 }, 32)

/* Bytes of all huge pages that are reserved, in all sizes. */
unsigned long long hugepage_bytes(void);

/* Bytes of a huge page of the default size, which a mount has without pagesize=, or 0. */
unsigned long long default_hugepage(void);

/* Maximum number of type1's mappings for a process; ~0ULL if type1 is not loaded. */
unsigned long long entry_limit(void);

#define ENTRY_LIMIT "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

/* A command that raises the limit, for a number of huge pages and SPARE_ENTRIES other maps. */
#define RAISE_ENTRY_LIMIT "echo %llu >" ENTRY_LIMIT
#define SPARE_ENTRIES 65536

/* Number of huge pages of the default size to reserve if there are none, and memory allows it. */
unsigned long long hugepages_to_reserve(void);

/* A command that reserves them. */
#define RESERVE_HUGEPAGES "echo %llu >/proc/sys/vm/nr_hugepages"

/* May this process lock @bytes? */
bool may_lock(unsigned long long bytes);

#endif
