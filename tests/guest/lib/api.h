/* SPDX-License-Identifier: MIT */
/* Tests of the library: each is run once with every backend that the machine has. */
#ifndef TEST_API_H
#define TEST_API_H

#include <flatiommu.h>

struct api_test {
	const char *name;
	void (*fn)(void **state);
};

#define API_TEST(fn) { #fn, fn }

/* The context of a test; a test may close it, and set it to NULL. What is left is closed for it. */
extern struct flatiommu *flat;
/* Which backend it is to have. */
extern const char *api_backend;

/*
 * The group of a program. @devices, ended by a NULL, are on vfio-pci, and reached by the backend. After
 * each test all pins and file descriptors are as before.
 */
int api_run(const struct api_test *tests, size_t count, const char *const *devices);

/* A device that was not there as the others were bound. 0 or -errno. */
int api_bind(const char *bdf);

bool api_isolated(void);
/* By what the backend's name has in it. */
bool api_is(const char *part);

/* Shorthands that fail the test: opened in @flat, and edu with BAR 0 at @regs, free to do DMA. */
struct flatiommu_device *api_open(const char *bdf);
struct flatiommu_device *api_open_edu(const char *bdf, void **regs);

/*
 * A child's, so that the limit ends with it: -ENOMEM, as more is asked for than RLIMIT_MEMLOCK allows, which
 * the reason says, and less is still had. @options is a struct flatiommu_dma_options, or NULL.
 */
int api_exceed_memlock(void *options);

/* The result, and that a failure has told a reason, which has @word in it. */
#define api_refused(wanted, word, call) \
	api_expect_reason(wanted, word, call, #call, __FILE__, __LINE__)
void api_expect_reason(int wanted, const char *word, int result, const char *call, const char *file,
		       int line);

#endif
