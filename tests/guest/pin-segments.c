// SPDX-License-Identifier: MIT
/*
 * FLATIOMMU_PIN that returns the segments, too: they are those of a LOOKUP, and a call that fails
 * leaves nothing.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alone.h"
#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "fixture.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

static const char *const devices[] = { EDU, NULL };

static struct flatiommu_function function;

static struct flatiommu_pin pin_of(const void *addr, size_t length, struct flatiommu_segment *segments,
				   unsigned int room)
{
	return (struct flatiommu_pin){
		.size = sizeof(struct flatiommu_pin),
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
		.vaddr = (uintptr_t)addr,
		.length = length,
		.nr_segments = room,
		.segments = (uintptr_t)segments,
	};
}

/* With room for all segments, for some, and for one; @offset into the first page, and as much less at the end. */
static void as_looked_up(char *addr, size_t size, size_t offset)
{
	unsigned int rooms[] = { (unsigned int)(size / PAGE), 7, 1 }, room, i;
	struct flatiommu_segment *all = calloc(size / PAGE, sizeof(*all));
	struct flatiommu_segment *got = calloc(size / PAGE + 1, sizeof(*got));
	size_t length = size - 2 * offset;
	struct flatiommu_pin pin;
	uint64_t bytes;
	int n;

	assert_non_null(addr);
	for (room = 0; room < ARRAY_SIZE(rooms); room++) {
		pin = pin_of(addr + offset, length, got, rooms[room]);
		memset(got, 0xff, (size / PAGE + 1) * sizeof(*got));
		expect(0, flat_call(alone.flat, FLATIOMMU_PIN, &pin));
		n = expect_good(flat_lookup_pin(alone.flat, EDU, pin.out_pin, 0, length, all,
						(unsigned int)(size / PAGE)));
		assert_int_equal(pin.nr_segments, (unsigned int)n < rooms[room] ? (unsigned int)n : rooms[room]);
		for (i = 0, bytes = 0; i < pin.nr_segments; i++) {
			assert_memory_equal(&got[i], &all[i], sizeof(*got));
			bytes += got[i].length;
		}
		assert_int_equal(pin.out_length, bytes);
		/* What there was no room for was not written. */
		assert_int_equal(got[i].length, UINT64_MAX);
		assert_true(pin.nr_segments < (unsigned int)n || bytes == length);
		expect(0, flat_unpin(alone.flat, pin.out_pin));
		assert_int_equal(pins(), alone.pins_before);
	}
	mem_free(addr, size);
	free(all);
	free(got);
}

static void segments_in_the_call(void **state)
{
	char *addr;

	(void)state;
	as_looked_up(mem_pages(1), PAGE, 0);
	as_looked_up(mem_pages(1), PAGE, 100);
	as_looked_up(mem_scattered(5), 5 * PAGE, 8);
	as_looked_up(mem_scattered(64), 64 * PAGE, 0);
	as_looked_up(mem_pages(1500), 1500 * PAGE, 12);
	as_looked_up(mem_file_scattered(5000), 5000 * PAGE, 0);
	addr = mem_transparent();
	if (addr)
		as_looked_up(addr, HUGE_PAGE, 0);
	expect(0, huge_pages(1));
	as_looked_up(mem_huge(), HUGE_PAGE, 0);
}

/* The device is told what the call gave, and nothing else. */
static void device_writes_there(void **state)
{
	char *page = mem_pages(1);
	struct flatiommu_segment segment;
	struct flatiommu_pin pin = pin_of(page, PAGE, &segment, 1);

	(void)state;
	assert_non_null(page);
	expect(0, flat_call(alone.flat, FLATIOMMU_PIN, &pin));
	assert_int_equal(segment.length, PAGE);
	fill(page, 1024, 5);
	expect(0, edu_load(alone.edu.bar0, segment.address, 1024));
	memset(page, 0, 1024);
	expect(0, edu_store(alone.edu.bar0, segment.address, 1024));
	assert_true(is_filled(page, 1024, 5));
	expect(0, flat_unpin(alone.flat, pin.out_pin));
	mem_free(page, PAGE);
}

/* What a call that fails has told may be known to the device, which is stopped then, as an UNPIN does. */
static void array_that_cannot_be_written(void **state)
{
	const size_t count = 1024;
	char *pages = mem_file_scattered(count);
	struct flatiommu_segment *got = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE,
					     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct flatiommu_segment *end = (void *)((char *)got + PAGE);
	struct flatiommu_pin pin;

	(void)state;
	assert_non_null(pages);
	munmap(end, 7 * PAGE);
	/* Nowhere, and after the first ones. */
	pin = pin_of(pages, count * PAGE, (void *)8, count);
	expect(-EFAULT, flat_call(alone.flat, FLATIOMMU_PIN, &pin));
	assert_int_equal(pins(), alone.pins_before);
	expect(0, vfio_set_bus_master(&alone.edu, true));
	pin = pin_of(pages, count * PAGE, end - 3, count);
	expect(-EFAULT, flat_call(alone.flat, FLATIOMMU_PIN, &pin));
	assert_int_equal(pins(), alone.pins_before);
	expect(0, vfio_bus_master(&alone.edu));
	expect(0, vfio_set_bus_master(&alone.edu, true));
	/* Another pin keeps it going. */
	pin = pin_of(pages, PAGE, NULL, 0);
	expect(0, flat_call(alone.flat, FLATIOMMU_PIN, &pin));
	{
		struct flatiommu_pin second = pin_of(pages, count * PAGE, end - 3, count);

		expect(-EFAULT, flat_call(alone.flat, FLATIOMMU_PIN, &second));
	}
	expect(1, vfio_bus_master(&alone.edu));
	expect(0, flat_unpin(alone.flat, pin.out_pin));
	assert_int_equal(pins(), alone.pins_before);
	munmap(got, PAGE);
	mem_free(pages, count * PAGE);
}

#define BIG ((size_t)2 << 30)
#define FILE_SIZE (BIG / 8)

/* Memory that takes seconds to be pinned, for a function without a driver. */
static int pin_for_what_goes(void *arg)
{
	struct flatiommu_function goes = flat_function(FN1);
	int i, fd = memfd_create("big", MFD_CLOEXEC), own = flat_open();
	char *addr = mmap(NULL, BIG, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct flatiommu_segment segment = { .length = 12345 };
	struct flatiommu_pin pin = pin_of(addr, BIG, &segment, 1);

	if (addr == MAP_FAILED || fd < 0 || ftruncate(fd, FILE_SIZE))
		return -errno;
	for (i = 0; i < 8; i++)
		if (mmap(addr + (size_t)i * FILE_SIZE, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 fd, 0) == MAP_FAILED)
			return -errno;
	pin.functions = (uintptr_t)&goes;
	i = flat_call(own, FLATIOMMU_PIN, &pin);
	*(volatile char *)arg = 1;
	return segment.length == 12345 ? i : -EISDIR;
}

/* Nobody is told of memory that is pinned for what is not there any more. */
static void function_goes_meanwhile(void **state)
{
	volatile char *done = mem_shared(1);
	pid_t child;

	(void)state;
	assert_non_null((char *)done);
	child = expect_good(child_begin(pin_for_what_goes, (char *)done));
	while (pins() < alone.pins_before + 2000)
		assert_int_equal(*done, 0);
	expect(0, write_text("/sys/bus/pci/devices/" FN1 "/remove", "1"));
	assert_int_equal(*done, 0);
	expect(-ENODEV, child_end(child));
	assert_int_equal(pins(), alone.pins_before);
	mem_free((char *)done, PAGE);
}

static int bring_it_back(void **state)
{
	int ret = write_text("/sys/bus/pci/rescan", "1");

	return ret ? ret : alone_close(state);
}

/* Programs that were compiled before there were segments. */
static void older_program(void **state)
{
	char *page = mem_pages(1);
	struct flatiommu_segment segment;
	struct flatiommu_pin pin = pin_of(page, PAGE, &segment, 1);

	(void)state;
	assert_non_null(page);
	pin.size = offsetof(struct flatiommu_pin, nr_segments);
	segment.length = 12345;
	expect(0, flat_call(alone.flat, FLATIOMMU_PIN, &pin));
	assert_int_equal(segment.length, 12345);
	assert_int_equal(pin.nr_segments, 1);
	expect(0, flat_unpin(alone.flat, pin.out_pin));
	mem_free(page, PAGE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, alone_open, alone_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(segments_in_the_call),
		TEST(device_writes_there),
		TEST(array_that_cannot_be_written),
		cmocka_unit_test_setup_teardown(function_goes_meanwhile, alone_open, bring_it_back),
		TEST(older_program),
	};

	function = flat_function(EDU);
	return run_with(devices, tests);
}
