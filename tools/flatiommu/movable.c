// SPDX-License-Identifier: MIT
#include "movable.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sysfs.h"

/* Documentation/admin-guide/mm/pagemap.rst of Linux */
#define KPF_HUGE (1ULL << 17)

static bool has_huge(int kpageflags, unsigned long first, unsigned long spanned, unsigned long step)
{
	unsigned long pfn = (first + step - 1) / step * step;
	uint64_t flags;

	for (; pfn < first + spanned; pfn += step)
		if (pread(kpageflags, &flags, sizeof(flags), (off_t)(pfn * sizeof(flags))) ==
		    sizeof(flags) && flags & KPF_HUGE)
			return true;
	return false;
}

static unsigned long number_behind(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoul(at + strlen(key), NULL, 10) : 0;
}

enum movable movable_read(unsigned long long size)
{
	unsigned long step = size / (unsigned long)sysconf(_SC_PAGESIZE);
	char *zones = file_text("/proc/zoneinfo"), *zone = zones;
	int kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	enum movable movable = NOT_MOVABLE;

	for (; movable == NOT_MOVABLE && zone && (zone = strstr(zone, "zone  Movable")); zone++) {
		if (!number_behind(zone, "present "))
			continue;
		if (kpageflags < 0)
			movable = MOVABLE_UNSEEN;
		else if (has_huge(kpageflags, number_behind(zone, "start_pfn:"),
				  number_behind(zone, "spanned "), step))
			movable = MOVABLE;
	}
	if (kpageflags >= 0)
		close(kpageflags);
	free(zones);
	return movable;
}
