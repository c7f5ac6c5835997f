/* SPDX-License-Identifier: MIT */
/* The module's messages about a map that it refuses. */
#ifndef TEST_REFUSALS_H
#define TEST_REFUSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cause {
	const char *name;	/* in the file of refusals */
	const char *text;	/* in the kernel log */
	const char *cure;
	bool tells_iova;	/* the kernel log has the IOVA, because it is no address of memory */
};

extern const struct cause zero_page, unreachable, lookup_iova, virtual_address, other_page, no_address;

struct refusals {
	unsigned long long count;
	char device[32];
	char cause[32];
	char program[32];
};

/* Reads a process's line in the file of refusals; all is 0 if it has none. Returns 0 or -errno. */
int refusals_of(pid_t pid, struct refusals *r);

/*
 * Checks that the map of @size bytes at @iova is refused because of @cause: the errno, one complete
 * line in the kernel log that does not contain the real address of the memory, and one more refusal
 * in the counts. @device is the first one of the container.
 */
void expect_refused(int container, const char *device, const void *addr, uint64_t iova, size_t size,
		    const struct cause *cause);
/* The same for a map that the device may only read. */
void expect_refused_read(int container, const char *device, const void *addr, uint64_t iova,
			 size_t size, const struct cause *cause);

#endif
