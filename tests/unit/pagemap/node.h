/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NODE_H
#define TESTS_NODE_H

#include <stdint.h>

static inline uint64_t fake_frame(uint64_t page)
{
	return page ^ 0x5000000000ull;
}

/* Pages, each as often as it is. */
uint64_t fake_pinned(void);
/* The file that stands for /dev/flatiommu, or -1. */
int fake_file(void);

#endif
