// SPDX-License-Identifier: MIT
/*
 * Reasons are of calls that failed, and of the thread that called; and which of them the log is
 * told as errors.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "../../../lib/internal.h"
#include "fake.h"

#define NR_THREADS 200

static unsigned int errors, notes;
static char latest[256];

static void count(void *arg, enum flatiommu_log level, const char *line)
{
	(void)arg;
	if (level == FLATIOMMU_LOG_ERROR)
		errors++;
	else
		notes++;
	snprintf(latest, sizeof(latest), "%.255s", line);
}

/* Nothing was to be told but so many. */
static void told(unsigned int of_errors, bool of_notes)
{
	CHECK(errors == of_errors && !!notes == of_notes);
	errors = notes = 0;
}

static void *is_quiet(void *arg)
{
	CHECK(!strcmp(flatiommu_reason(flat), ""));
	return arg;
}

static void *fails(void *arg)
{
	struct flatiommu_dma *dma;

	is_quiet(arg);
	CHECK(flatiommu_dma_alloc(flat, 0, NULL, &dma) == -EINVAL);
	CHECK(strstr(flatiommu_reason(flat), "0 bytes"));
	return arg;
}

static void run(void *(*fn)(void *arg))
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, fn, NULL));
	pthread_join(thread, NULL);
}

/* However many there were, and whichever number they had. */
static void none_is_a_dead_threads(void)
{
	const struct reason *reason;
	unsigned int i, n = 0;

	fake_begin(FAKE_IOMMU);
	run(fails);
	run(is_quiet);
	for (i = 0; i < NR_THREADS; i++)
		run(fails);
	/* That of this thread, and of the last one. */
	for (reason = &flat->reasons; reason; reason = reason->next)
		n++;
	CHECK(n <= 2);
	is_quiet(NULL);
	fake_end();
}

static void none_after_success(void)
{
	const struct flatiommu_dma_options huge = { .pages = FLATIOMMU_PAGES_1G };
	struct flatiommu_device *device;
	struct flatiommu_dma *dma;
	unsigned int offset = 0;

	fake_begin(FAKE_FLAT);
	flatiommu_set_log(flat, count, NULL);
	device = must_open(FN0);
	told(0, false);
	/* There are no such pages, and others do. */
	CHECK(!flatiommu_dma_alloc(flat, 4096, &huge, &dma));
	is_quiet(NULL);
	told(0, true);
	CHECK(!flatiommu_dma_free(dma));
	/* A failure stays the latest one. */
	CHECK(flatiommu_device_open(flat, "nonsense", &device) == -EINVAL);
	told(1, false);
	CHECK(!flatiommu_dma_alloc(flat, 4096, &huge, &dma));
	CHECK(strstr(flatiommu_reason(flat), "nonsense"));
	told(0, true);
	/* The end of a list is the answer to a question. */
	CHECK(flatiommu_capability(device, 1, &offset) == -ENOENT);
	CHECK(strstr(flatiommu_reason(flat), "capability") && !strcmp(flatiommu_reason(flat), latest));
	told(0, true);
	fake_end();
}

/* What two contexts say to one thread. */
static void contexts_are_apart(void)
{
	struct flatiommu *second;
	struct flatiommu_device *device;

	fake_begin(FAKE_IOMMU);
	CHECK(!flatiommu_open(&second));
	CHECK(flatiommu_device_open(flat, "one", &device) == -EINVAL);
	CHECK(!strcmp(flatiommu_reason(second), ""));
	CHECK(flatiommu_device_open(second, "two", &device) == -EINVAL);
	CHECK(strstr(flatiommu_reason(flat), "one") && strstr(flatiommu_reason(second), "two"));
	flatiommu_close(second);
	CHECK(strstr(flatiommu_reason(flat), "one"));
	fake_end();
}

static void gone_is_no_success(void)
{
	struct flatiommu_device *device, *again = NULL;
	struct flatiommu_dma *dma;

	fake_begin(FAKE_IOMMU);
	fake_gone(FN1, 0);
	CHECK(flatiommu_device_open(flat, FN1, &again) == -EIO && !again);
	CHECK(strstr(flatiommu_reason(flat), "does not answer"));
	/* Kept, and gone meanwhile. */
	device = must_open(FN0);
	dma = must_alloc(4096);
	CHECK(flatiommu_device_close(device) == 1);
	fake_gone(FN0, 0);
	CHECK(flatiommu_device_open(flat, FN0, &again) == -EIO && !again);
	/* The buffers still need it. */
	CHECK(!strcmp(flatiommu_backend(flat), "iommu-type1"));
	CHECK(!flatiommu_dma_free(dma));
	CHECK(!strcmp(flatiommu_backend(flat), ""));
	fake_end();
}

int main(void)
{
	none_is_a_dead_threads();
	none_after_success();
	contexts_are_apart();
	gone_is_no_success();
	return EXIT_SUCCESS;
}
