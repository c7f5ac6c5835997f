// SPDX-License-Identifier: MIT
/*
 * Is there room for a buffer? This is checked before its memory is filled: a limit is reported at
 * once, and if the machine or a cgroup has too little memory, the kernel does not have to kill a
 * program.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/resource.h>

#include "cgroup.h"
#include "internal.h"
#include "memory.h"

/* Filling less memory is faster than reading these files. */
#define WORTH_ASKING (1ul << 20)

/* Returns the number in the line @name, in bytes, or 0 if there is no such line. */
static uint64_t read_kib(const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	unsigned long long kib = 0;
	char line[128], format[32];

	if (!file)
		return 0;
	snprintf(format, sizeof(format), "%s: %%llu kB", name);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, format, &kib) == 1)
			break;
	fclose(file);
	return kib * 1024;
}

/* iommufd compares the limit with VmPin alone. type1 and flatiommu.ko compare it with VmLck. */
static int check_limit(struct flatiommu *flat, uint64_t size)
{
	const struct backend *backend = open_backend(flat);
	bool pinned = backend && backend->counts_pinned && !can_pin(flat);
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	uint64_t locked;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY || has_capability(CAP_IPC_LOCK))
		return 0;
	locked = read_kib("/proc/self/status", pinned ? "VmPin" : "VmLck");
	if (size <= limit.rlim_cur && locked <= limit.rlim_cur - size)
		return 0;
	return fail(flat, -ENOMEM, "%llu bytes cannot be pinned: more than RLIMIT_MEMLOCK (%llu bytes), "
		    "with the %llu that are pinned already. Cure: ulimit -l unlimited",
		    (unsigned long long)size,
		    (unsigned long long)limit.rlim_cur, (unsigned long long)locked);
}

/*
 * If no pages are contiguous, page tables and the kernel's records of pinned pages need a 64th of
 * the length.
 */
static bool is_enough(uint64_t left, size_t length)
{
	return length <= left && length / 64 <= left - length;
}

/* The kernel kills a process whose cgroup has no memory left. */
static int check_cgroup(struct flatiommu *flat, size_t length)
{
	char where[256] = "";
	uint64_t left = cgroup_left(length + length / 64, where, sizeof(where));

	if (is_enough(left, length))
		return 0;
	return fail(flat, -ENOMEM, "%zu bytes of memory: %s/memory.max leaves %llu. Cure: a smaller "
		    "buffer, or a higher limit", length, where, (unsigned long long)left);
}

int check_room(struct flatiommu *flat, size_t length, enum flatiommu_dma_pages pages)
{
	uint64_t available;
	int err;

	if (length < WORTH_ASKING)
		return 0;
	err = check_limit(flat, length);
	/* Huge pages are reserved when they are mapped, before they are filled. */
	if (err || huge_page_size(pages))
		return err;
	available = read_kib("/proc/meminfo", "MemAvailable");
	if (!available || is_enough(available, length))
		return check_cgroup(flat, length);
	return fail(flat, -ENOMEM, "%zu bytes of memory: only %llu are available. Cure: a smaller "
		    "buffer, or free memory", length, (unsigned long long)available);
}
