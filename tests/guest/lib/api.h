/* SPDX-License-Identifier: MIT */
/* Tests of the library: each test runs once with every backend that the machine has. */
#ifndef TEST_API_H
#define TEST_API_H

#include <flatiommu.h>

struct api_test {
	const char *name;
	void (*fn)(void **state);
};

#define API_TEST(fn) { #fn, fn }

/* The context of a test. The test may close it and set it to NULL; otherwise it is closed after the test. */
extern struct flatiommu *flat;
/* The backend that the context should have. */
extern const char *api_backend;

/*
 * Runs the group of a program. @devices, ended by NULL, are on vfio-pci, and the backend can open
 * them. After each test the numbers of pins and file descriptors must be the same as before.
 */
int api_run(const struct api_test *tests, size_t count, const char *const *devices);

/* Binds a device that did not exist when the others were bound. Returns 0 or -errno. */
int api_bind(const char *bdf);

bool api_isolated(void);
/* These look at the backend's name. */
bool api_is(const char *part);

/* Open a device in @flat; for edu, also map BAR 0 at @regs and set bus mastering. On an error the test fails. */
struct flatiommu_device *api_open(const char *bdf);
struct flatiommu_device *api_open_edu(const char *bdf, void **regs);

/*
 * For a child process, with which the limit ends. Sets RLIMIT_MEMLOCK, and checks that more memory
 * fails with -ENOMEM and a reason that names the limit, and that less memory succeeds. @options is a
 * struct flatiommu_dma_options, or NULL.
 */
int api_exceed_memlock(void *options);

/* Checks the result, and that the reason of a failure contains @word. */
#define api_refused(wanted, word, call) \
	api_expect_reason(wanted, word, call, #call, __FILE__, __LINE__)
void api_expect_reason(int wanted, const char *word, int result, const char *call, const char *file,
		       int line);

#endif
