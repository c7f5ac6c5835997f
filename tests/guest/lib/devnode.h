/* SPDX-License-Identifier: MIT */
/* The calls of /dev/flatiommu. They return 0, the result, or -errno. */
#ifndef TEST_DEVNODE_H
#define TEST_DEVNODE_H

#include <linux/flatiommu.h>
#include <stddef.h>
#include <stdint.h>

int flat_open(void);
int flat_call(int fd, unsigned long call, void *arg);
struct flatiommu_function flat_function(const char *bdf);

/* Return FLATIOMMU_STATE_* of a function, or of the function in a group. */
int flat_state(int fd, const char *bdf);
int flat_state_of_group(int fd, int group);
int flat_declare(int fd, const char *bdf);

/* Look the whole range up, in as many calls as it needs. Return the number of segments. */
int flat_lookup(int fd, const char *bdf, uint64_t iova, uint64_t length,
		struct flatiommu_segment *segments, unsigned int room);
int flat_lookup_pin(int fd, const char *bdf, uint32_t pin, uint64_t start, uint64_t length,
		    struct flatiommu_segment *segments, unsigned int room);
/* Return the bus address of one byte, or 0 if there is none. */
uint64_t flat_address(int fd, const char *bdf, uint64_t iova);
uint64_t flat_address_in_pin(int fd, const char *bdf, uint32_t pin, uint64_t offset);

int flat_pin(int fd, const char *bdf, const void *addr, uint64_t length, uint32_t flags,
	     uint32_t *pin);
int flat_unpin(int fd, uint32_t pin);

/* Returns a file of memory. @node -1: any node. */
int flat_alloc(int fd, const char *bdf, uint64_t length, unsigned int bits, int node, uint32_t flags);

#endif
