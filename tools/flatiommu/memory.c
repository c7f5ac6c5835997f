// SPDX-License-Identifier: MIT
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "privilege.h"
#include "sysfs.h"

unsigned long long memlock_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return ~0ULL;
	return limit.rlim_cur;
}

unsigned long long hugepage_bytes(void)
{
	unsigned long long bytes = 0, kib;
	struct names sizes;
	size_t i;

	names_read(&sizes, HUGEPAGES);
	for (i = 0; i < sizes.n; i++)
		if (sscanf(sizes.name[i], "hugepages-%llukB", &kib) == 1)
			bytes += kib * 1024 * file_number(0, HUGEPAGES "/%s/nr_hugepages",
							  sizes.name[i]);
	names_free(&sizes);
	return bytes;
}

unsigned long long hugepage_entries(void)
{
	unsigned long long entries = 0;
	struct names sizes;
	size_t i;

	names_read(&sizes, HUGEPAGES);
	for (i = 0; i < sizes.n; i++)
		entries += file_number(0, HUGEPAGES "/%s/nr_hugepages", sizes.name[i]);
	names_free(&sizes);
	return entries;
}

unsigned long long entry_limit(void)
{
	return file_number(~0ULL, ENTRY_LIMIT);
}

static unsigned long long meminfo(const char *text, const char *key)
{
	const char *line = text ? strstr(text, key) : NULL;

	return line ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

unsigned long long hugepages_to_reserve(void)
{
	unsigned long long available, size, bytes = 1ULL << 30;
	char *text = file_text("/proc/meminfo");

	available = meminfo(text, "MemAvailable:");
	size = meminfo(text, "Hugepagesize:");
	free(text);
	if (available / 4 < bytes)
		bytes = available / 4;
	if (!size || bytes < size)
		return 1;
	return bytes / size < 64 ? bytes / size : bytes / size & ~63ULL;
}

bool may_lock(unsigned long long bytes)
{
	return has_capability(CAP_IPC_LOCK) || bytes <= memlock_limit();
}
