// SPDX-License-Identifier: MIT
/*
 * Threads: what takes long, of a function that is gone above all, keeps nobody else waiting, and no
 * thread that is cancelled leaves a lock behind. And all of it at once, for TSan.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake.h"

#define GONE_MS	1500
/* Seconds: less than who waits for that would take, and more than others need on a slow machine. */
#define NO_WAIT	(0.8 * GONE_MS / 1000)
#define ROUNDS	200

static struct flatiommu_device *device, *other;

static void *close_it(void *arg)
{
	flatiommu_device_close(arg);
	return NULL;
}

static pthread_t run(void *(*fn)(void *arg), void *arg)
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, fn, arg));
	return thread;
}

/*
 * The emergency stop, memory, and another one's close, while the kernel waits for one that is gone.
 */
static void gone_holds_nobody(void)
{
	struct flatiommu_device *third;
	struct flatiommu_dma *dma;
	pthread_t thread;
	double start;

	fake_begin(FAKE_IOMMU);
	device = must_open(FN0);
	other = must_open(FN1);
	CHECK(!flatiommu_bus_master(other, true));
	fake_gone(FN0, GONE_MS);
	thread = run(close_it, device);
	sleep_ms(100);
	start = seconds();
	CHECK(!flatiommu_bus_master(other, false));
	dma = must_alloc(4096);
	CHECK(!flatiommu_dma_free(dma));
	third = must_open(FN2);
	CHECK(!flatiommu_device_close(third));
	CHECK(!flatiommu_device_close(other));
	CHECK(seconds() - start < NO_WAIT);
	pthread_join(thread, NULL);
	CHECK(!strcmp(flatiommu_backend(flat), ""));
	fake_end();
}

/*
 * The last one is kept for the buffers; what has said that it is gone is not reset, and is waited
 * for once.
 */
static void gone_is_waited_for_once(void)
{
	struct flatiommu_dma *dma;
	double start;

	fake_begin(FAKE_IOMMU);
	device = must_open(FN0);
	dma = must_alloc(4096);
	fake_gone(FN0, GONE_MS);
	start = seconds();
	CHECK(flatiommu_device_close(device) == 1);
	CHECK(!fake_calls->resets);
	CHECK(!flatiommu_dma_free(dma));
	CHECK(seconds() - start < 2.0 * GONE_MS / 1000);
	fake_end();
	/* One that is there is reset. */
	fake_begin(FAKE_IOMMU);
	device = must_open(FN0);
	dma = must_alloc(4096);
	CHECK(flatiommu_device_close(device) == 1);
	CHECK(fake_calls->resets == 1);
	fake_end();
}

static void *reset_it(void *arg)
{
	CHECK(flatiommu_reset(arg) < 0);
	return NULL;
}

static void reset_holds_nobody(void)
{
	pthread_t thread;
	double start;

	fake_begin(FAKE_IOMMU);
	device = must_open(FN0);
	other = must_open(FN1);
	fake_gone(FN0, GONE_MS);
	thread = run(reset_it, device);
	sleep_ms(100);
	start = seconds();
	CHECK(!flatiommu_bus_master(other, true));
	CHECK(!flatiommu_dma_free(must_alloc(4096)));
	CHECK(seconds() - start < NO_WAIT);
	pthread_join(thread, NULL);
	fake_end();
}

static void *alloc_it(void *arg)
{
	CHECK(!flatiommu_dma_free(must_alloc(1 << 20)));
	return arg;
}

/* A large allocation, by the time that the kernel takes to pin it. */
static void allocation_holds_nobody(void)
{
	pthread_t thread;
	double start;

	fake_begin(FAKE_IOMMU);
	device = must_open(FN0);
	other = must_open(FN1);
	fake_maps(GONE_MS, 0);
	thread = run(alloc_it, NULL);
	sleep_ms(100);
	fake_maps(0, 0);
	start = seconds();
	CHECK(!flatiommu_bus_master(device, false));
	CHECK(!flatiommu_dma_free(must_alloc(4096)));
	CHECK(!flatiommu_device_close(other));
	CHECK(seconds() - start < NO_WAIT);
	/* What is being mapped needs a device as what is. */
	CHECK(flatiommu_device_close(device) == 1);
	pthread_join(thread, NULL);
	CHECK(!strcmp(flatiommu_backend(flat), ""));
	fake_end();
}

static void *alloc_for_ever(void *arg)
{
	for (;;) {
		CHECK(!flatiommu_dma_free(must_alloc(4096)));
		CHECK(!flatiommu_bus_master(device, true));
		pthread_testcancel();
	}
	return arg;
}

static void cancelled_leaves_no_lock(void)
{
	pthread_t thread;
	unsigned int i;

	fake_begin(FAKE_IOMMU);
	device = must_open(FN0);
	for (i = 0; i < 20; i++) {
		thread = run(alloc_for_ever, NULL);
		sleep_ms(5);
		CHECK(!pthread_cancel(thread));
		pthread_join(thread, NULL);
		CHECK(!flatiommu_dma_free(must_alloc(4096)));
		CHECK(!flatiommu_bus_master(device, false));
	}
	fake_end();
}

/*
 * One that is closed and kept hears that it is asked for, until its buffers are freed or it is
 * opened again.
 */
static void kept_hears(void)
{
	struct flatiommu_dma *dma;
	int event = eventfd(0, EFD_CLOEXEC);

	fake_begin(FAKE_IOMMU);
	CHECK(event >= 0);
	device = must_open(FN0);
	dma = must_alloc(4096);
	CHECK(!flatiommu_irq_enable(device, FLATIOMMU_IRQ_REQUEST, 0, 1, &event));
	CHECK(flatiommu_device_close(device) == 1);
	CHECK(fake_request(FN0) == event);
	device = must_open(FN0);
	CHECK(fake_request(FN0) == -1);
	CHECK(!flatiommu_irq_enable(device, FLATIOMMU_IRQ_REQUEST, 0, 1, &event));
	CHECK(flatiommu_device_close(device) == 1);
	CHECK(!strcmp(flatiommu_backend(flat), "iommu-type1"));
	CHECK(!flatiommu_dma_free(dma));
	CHECK(!strcmp(flatiommu_backend(flat), ""));
	fake_end();
	close(event);
}

static void *open_and_close(void *arg)
{
	struct flatiommu_device *mine;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		mine = must_open(arg);
		CHECK(!flatiommu_bus_master(mine, true));
		CHECK(flatiommu_device_close(mine) >= 0);
	}
	return NULL;
}

static void *allocate(void *arg)
{
	struct flatiommu_dma *dma;
	unsigned int i;
	int err;

	for (i = 0; i < 4 * ROUNDS; i++) {
		/* There may be no device for a moment. */
		err = flatiommu_dma_alloc(flat, 3 * 4096, NULL, &dma);
		CHECK(!err || err == -ENODEV);
		if (!err)
			CHECK(!flatiommu_dma_free(dma));
	}
	return arg;
}

static void *map_bar(void *arg)
{
	unsigned int i;
	void *view;

	for (i = 0; i < ROUNDS; i++) {
		CHECK(!flatiommu_bar_map(arg, 0, 0, 0, 0, &view));
		CHECK(flatiommu_isolated(flat) || flatiommu_backend(flat)[0]);
		CHECK(!flatiommu_bar_unmap(arg, view));
	}
	return NULL;
}

/* @keep: there is a device all the time. */
static void all_at_once(enum fake_machine machine, bool keep)
{
	pthread_t threads[6];
	unsigned int i, n = 0;

	fake_begin(machine);
	if (keep) {
		device = must_open(FN2);
		threads[n++] = run(map_bar, device);
	}
	threads[n++] = run(open_and_close, (void *)FN0);
	threads[n++] = run(open_and_close, (void *)FN1);
	threads[n++] = run(allocate, NULL);
	threads[n++] = run(allocate, NULL);
	for (i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	fake_end();
}

int main(void)
{
	gone_holds_nobody();
	gone_is_waited_for_once();
	reset_holds_nobody();
	allocation_holds_nobody();
	cancelled_leaves_no_lock();
	kept_hears();
	all_at_once(FAKE_IOMMU, true);
	all_at_once(FAKE_IOMMU, false);
	all_at_once(FAKE_FLAT, true);
	all_at_once(FAKE_FLAT, false);
	return EXIT_SUCCESS;
}
