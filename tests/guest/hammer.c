// SPDX-License-Identifier: MIT
/*
 * Two processes that share an open /dev/flatiommu, with two threads each, pin, unpin, look up, map and
 * unmap at once, for a minute. Nothing is left at the end.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "devices.h"
#include "devnode.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define SECONDS 60
#define THREADS 2
#define PAGES 600
#define IOVA(thread) ((uint64_t)((thread) + 1) << 46)
#define SEGMENTS 64

static const char *const devices[] = {
	EDU, FN1,
#ifndef __x86_64__
	/* There, a pin needs a driver. */
	TESTDEV, SHM,
#endif
	NULL,
};

static struct vfio_dev edu = VFIO_DEV_INIT;
static int container = -1, flat = -1;
static long pins_before;

static int begin(void **state)
{
	int ret = flat_begin(devices);

	(void)state;
	pins_before = pins();
	container = vfio_container();
	if (ret || container < 0)
		return -1;
	ret = vfio_open(&edu, container, EDU);
	flat = flat_open();
	return ret || flat < 0 ? -1 : flat_declare(flat, EDU);
}

static int end(void **state)
{
	(void)state;
	vfio_close(&edu);
	close_fd(&container);
	close_fd(&flat);
	return flat_end(devices);
}

struct hammer {
	pthread_t thread;
	unsigned int id;
	unsigned int seed;
	bool may_map;
	char *addr;
	unsigned long rounds;
	const char *wrong;	/* what had a result that it cannot have */
	int ret;
};

static unsigned int dice(struct hammer *h, unsigned int sides)
{
	h->seed = h->seed * 1103515245 + 12345;
	return (h->seed >> 16) % sides;
}

static void expect_one_of(struct hammer *h, const char *what, int ret, int other)
{
	if (ret >= 0 || ret == other || h->wrong)
		return;
	h->wrong = what;
	h->ret = ret;
}

/* Its own pins, and now and then one of somebody else's. */
static void hammer_pins(struct hammer *h)
{
	struct flatiommu_segment segments[SEGMENTS];
	unsigned int first = dice(h, PAGES - 1), count = 1 + dice(h, PAGES - 1 - first);
	uint32_t pin, other = 1 + dice(h, 8);
	const char *bdf = h->may_map ? dice(h, 2) ? EDU : FN1 : dice(h, 2) ? TESTDEV : SHM;
	int ret;

	ret = flat_pin(flat, bdf, h->addr + first * PAGE + dice(h, 100), count * PAGE,
		       dice(h, 2) ? FLATIOMMU_PIN_READ_ONLY : 0, &pin);
	expect_one_of(h, "PIN", ret, 0);
	if (ret)
		return;
	ret = flat_lookup_pin(flat, bdf, pin, dice(h, (unsigned int)PAGE), PAGE, segments, SEGMENTS);
	/* Somebody may have unpinned it, and somebody else have its number by now. */
	if (ret != -ENODEV)
		expect_one_of(h, "LOOKUP of a pin", ret, -ENOENT);
	ret = flat_lookup_pin(flat, bdf, other, 0, 1, segments, SEGMENTS);
	if (ret != -ENODEV)
		expect_one_of(h, "LOOKUP of another's pin", ret, -ENOENT);
	if (!dice(h, 16))
		expect_one_of(h, "UNPIN of another's", flat_unpin(flat, other), -ENOENT);
	expect_one_of(h, "UNPIN", flat_unpin(flat, pin), -ENOENT);
}

static void hammer_maps(struct hammer *h)
{
	struct flatiommu_segment segments[SEGMENTS];
	unsigned int first = dice(h, PAGES - 1), count = 1 + dice(h, PAGES - 1 - first);
	uint64_t iova = IOVA(h->id), other = IOVA(!h->id);
	int ret;

	expect_one_of(h, "MAP", vfio_map(container, h->addr + first * PAGE, iova, count * PAGE), 0);
	ret = flat_lookup(flat, EDU, iova, PAGE * (count < SEGMENTS ? count : SEGMENTS), segments,
			  SEGMENTS);
	expect_one_of(h, "LOOKUP", ret, 0);
	ret = flat_lookup(flat, EDU, other, PAGE * SEGMENTS, segments, SEGMENTS);
	expect_one_of(h, "LOOKUP of another's map", ret, -ENOENT);
	expect_one_of(h, "UNMAP", vfio_unmap(container, iova, count * PAGE), 0);
}

static void *hammer(void *arg)
{
	struct timespec now, stop;
	struct hammer *h = arg;

	clock_gettime(CLOCK_MONOTONIC, &stop);
	stop.tv_sec += SECONDS;
	do {
		if (h->may_map && dice(h, 2))
			hammer_maps(h);
		else
			hammer_pins(h);
		h->rounds++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < stop.tv_sec && !h->wrong);
	return NULL;
}

static int hammer_all(void *arg)
{
	bool may_map = arg;
	struct hammer hammers[THREADS] = { 0 };
	unsigned int i;
	int ret = 0;

	/* A program of its own, which pins for functions that nobody has. */
	if (!may_map)
		flat = flat_open();
	for (i = 0; i < THREADS; i++) {
		struct hammer *h = &hammers[i];

		h->id = i;
		h->seed = i + (may_map ? 1 : 77);
		h->may_map = may_map;
		h->addr = i ? mem_file_scattered(PAGES) : mem_pages(PAGES);
		if (!h->addr || pthread_create(&h->thread, NULL, hammer, h))
			return -ENOMEM;
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(hammers[i].thread, NULL);
		printf("# %s, thread %u: %lu rounds\n", may_map ? "with maps" : "pins alone", i,
		       hammers[i].rounds);
		if (hammers[i].wrong) {
			printf("# %s: %s\n", hammers[i].wrong, errno_name(hammers[i].ret));
			ret = -EPROTO;
		}
		mem_free(hammers[i].addr, PAGES * PAGE);
	}
	fflush(stdout);
	return ret;
}

static void all_at_once(void **state)
{
	pid_t child;
	int ret;

	(void)state;
	child = expect_good(child_begin(hammer_all, NULL));
	ret = hammer_all((void *)1);
	expect(0, child_end(child));
	expect(0, ret);
}

static void nothing_is_left(void **state)
{
	char text[4096];

	(void)state;
	close_fd(&flat);
	assert_int_equal(pins(), pins_before);
	expect_good(read_text("/proc/self/status", text, sizeof(text)));
	assert_non_null(strstr(text, "VmLck:\t       0 kB"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_at_once),
		cmocka_unit_test(nothing_is_left),
	};

	return run_group(tests, begin, end);
}
