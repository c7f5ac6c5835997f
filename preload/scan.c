// SPDX-License-Identifier: MIT
#include "scan.h"

#include <linux/ioctl.h>

#include "raw.h"

/* As linux/fs.h has it since 6.7: Documentation/admin-guide/mm/pagemap.rst */
struct scan {
	uint64_t size, flags;
	uint64_t start, end, walk_end;
	uint64_t vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

struct region {
	uint64_t start, end, categories;
};

#define SCAN		_IOWR('f', 16, struct scan)
#define IS_FILE		(1u << 2)
#define IS_PRESENT	(1u << 3)

#define MOST_REGIONS	16

int scan_present(int map, uint64_t start, uint64_t end, bool *shared)
{
	/* Set here, because valgrind does not know that this call writes to them. */
	struct region regions[MOST_REGIONS] = { 0 };
	struct scan scan = {
		.size = sizeof(scan),
		.start = start,
		.end = end,
		.vec = (uintptr_t)regions,
		.vec_len = MOST_REGIONS,
		.category_mask = IS_PRESENT,
		.return_mask = IS_PRESENT | IS_FILE,
	};
	long n = raw(SYS_ioctl, map, SCAN, &scan), i;

	if (n < 0)
		return (int)n;
	*shared = n > 0 && regions[0].categories & IS_FILE;
	for (i = 0; i < n && regions[i].start == start; i++) {
		if (*shared != !!(regions[i].categories & IS_FILE))
			return 0;
		start = regions[i].end;
	}
	if (start == end)
		return 1;
	return i < MOST_REGIONS ? 0 : -E2BIG;
}
