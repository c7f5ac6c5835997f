/* SPDX-License-Identifier: MIT */
/*
 * Between the library and libc: makes a call of the library's fail, and keeps an account of what it
 * has. The linker puts this there (--wrap, see Makefile).
 */
#ifndef TEST_INJECT_H
#define TEST_INJECT_H

#include <stdbool.h>
#include <stddef.h>

/* From here on the @nth call that can fail does, and with @rest all that come after it. */
void fault_arm(unsigned int nth, bool rest);
/* Ends that. What failed, for a person; NULL: there were less calls. */
const char *fault_disarm(void);
/* Was it one that need not succeed, such as advice to the kernel? */
bool fault_was_minor(void);

enum lie {
	LIE_NONE,
	LIE_HIGH,	/* the first address that is looked up is far above all memory */
	LIE_NOTHING,	/* nothing is found: 0 segments */
};

/* What FLATIOMMU_LOOKUP says while armed. */
void fault_lie(enum lie lie);

/* The next such ioctl() answers this, or fails with -@answer. Once, and also when nothing is armed. */
void fault_answer(unsigned long request, int answer);

/*
 * What the process has. Memory that could not be unmapped from devices is to be kept. It does not
 * count, nor do its records and pins.
 */
struct usage {
	int files;
	long allocations;
	size_t mapped;		/* bytes; 0 with a sanitizer, which maps as it likes */
	long pins;
};

void usage_take(struct usage *usage);
/* The test's own memory, which the library has no say in. */
void usage_own(const void *addr, size_t size);
/* Once no device reaches what was kept: lets it go. */
void kept_free(void);
/* How often memory was let go that devices still reached. */
unsigned int let_go_too_early(void);

#endif
