/* SPDX-License-Identifier: MIT */
/* Which IOVAs are free. The context's lock protects a space. */
#ifndef LIB_IOVA_H
#define LIB_IOVA_H

#include <stddef.h>
#include <stdint.h>

struct iova_range {
	uint64_t start;
	uint64_t last;
};

struct iova_space {
	struct iova_range *allowed;	/* sorted; the kernel takes no others */
	size_t nr_allowed;
	struct iova_range *free;	/* sorted, no two of them neighbours */
	size_t nr_free;
	size_t room;			/* in @free: one for each allocation that may be given back */
	size_t allocations;
};

/*
 * Makes @ranges, which it takes over, the allowed ones, all of them free. 0 or -ENOMEM, and nothing
 * is taken then.
 */
int iova_allow(struct iova_space *space, struct iova_range *ranges, size_t count);
/*
 * The lowest @size bytes in @min to @max whose start is @phase above a multiple of @align, a power of
 * two. 0, -ENOSPC or -ENOMEM.
 */
int iova_alloc(struct iova_space *space, uint64_t size, uint64_t align, uint64_t phase, uint64_t min,
	       uint64_t max, uint64_t *iova);
/* What was allocated before iova_allow(), again. 0 or -ENOMEM. */
int iova_take(struct iova_space *space, uint64_t iova, uint64_t size);
void iova_free(struct iova_space *space, uint64_t iova, uint64_t size);
void iova_end(struct iova_space *space);

#endif
