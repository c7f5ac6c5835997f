/* SPDX-License-Identifier: MIT */
/* Allocation of IOVAs. The context's lock protects a space. */
#ifndef LIB_IOVA_H
#define LIB_IOVA_H

#include <stddef.h>
#include <stdint.h>

struct iova_range {
	uint64_t start;
	uint64_t last;
};

struct iova_space {
	struct iova_range *allowed;	/* sorted; the kernel accepts no other IOVAs */
	size_t nr_allowed;
	struct iova_range *free;	/* sorted, no two of them neighbours */
	size_t nr_free;
	size_t room;			/* ranges that fit in @free, see reserve() */
	size_t allocations;
};

/*
 * Makes @ranges the allowed ones, all of them free. Returns
 * 0		the space owns @ranges
 * -ENOMEM	nothing has changed
 */
int iova_allow(struct iova_space *space, struct iova_range *ranges, size_t count);
/*
 * Allocates the lowest free @size bytes in @min to @max whose start is @phase above a multiple of
 * @align, a power of two. Returns 0, -ENOSPC or -ENOMEM.
 */
int iova_alloc(struct iova_space *space, uint64_t size, uint64_t align, uint64_t phase,
	       uint64_t min, uint64_t max, uint64_t *iova);
/* Allocates @size bytes from @iova on, whether they are free or not. Returns 0 or -ENOMEM. */
int iova_take(struct iova_space *space, uint64_t iova, uint64_t size);
void iova_free(struct iova_space *space, uint64_t iova, uint64_t size);
void iova_end(struct iova_space *space);

#endif
