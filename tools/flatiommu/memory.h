/* SPDX-License-Identifier: MIT */
/* Memory that this process can get. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>

#define HUGEPAGES "/sys/kernel/mm/hugepages"

/* What is locked so far, and may be; ~0ULL is no limit. */
unsigned long long memlock_limit(void);

/* Bytes of all huge pages that are reserved, in all sizes. */
unsigned long long hugepage_bytes(void);

/* How many they are: DPDK maps each by itself. */
unsigned long long hugepage_entries(void);

/* VFIO's type1 makes so many mappings at most for a process; ~0ULL when it is not loaded. */
unsigned long long entry_limit(void);

#define ENTRY_LIMIT "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

/* A command that raises it, for so many huge pages and what else there is. */
#define RAISE_ENTRY_LIMIT "echo %llu >" ENTRY_LIMIT
#define SPARE_ENTRIES 65536

/* How many of the default size to reserve where there are none, and memory allows it. */
unsigned long long hugepages_to_reserve(void);

/* A command for that. */
#define RESERVE_HUGEPAGES "echo %llu >/proc/sys/vm/nr_hugepages"

/* Would huge pages, all of them, fit what this process may lock? */
bool may_lock(unsigned long long bytes);

#endif
