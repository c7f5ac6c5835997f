// SPDX-License-Identifier: MIT
/*
 * A function that sees memory at other addresses than the processor, and only part of it: the first
 * half of a huge page is at BUS, described in two pieces. No DMA here, because QEMU's device would
 * access BUS.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alone.h"
#include "devices.h"
#include "devnode.h"
#include "mem.h"
#include "refusals.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define BUS (1ull << 46)
#define ELSEWHERE (1ull << 47)
#define HALF (HUGE_PAGE / 2)

static const char *const devices[] = { EDU, FN1, NULL };

static struct vfio_dev other = VFIO_DEV_INIT;
static char *memory;

/* The first half of the memory is there for the function, until its driver goes. */
static int give_range(const char *bdf, unsigned long long where)
{
	char text[128];
	int ret;

	snprintf(text, sizeof(text), "function=%s cpu=%llu bus=%llu size=%zu", bdf,
		 (unsigned long long)bus_address(memory), where, (size_t)HALF);
	ret = module_load("/flatiommu/range.ko", text);
	return ret ? ret : module_unload("range");
}

static int begin(void **state)
{
	int ret = flat_begin(devices);

	(void)state;
	if (!ret)
		ret = huge_pages(1);
	if (ret)
		return ret;
	memory = mem_huge();
	return memory ? give_range(EDU, BUS) : -ENOMEM;
}

static int end(void **state)
{
	(void)state;
	mem_free(memory, HUGE_PAGE);
	huge_pages(0);
	return flat_end(devices);
}

static int close_all(void **state)
{
	vfio_close(&other);
	alone_close_files(state);
	return module_is_loaded("setting") ? module_unload("setting") : 0;
}

static void expect_pins_back(void)
{
	close_all(NULL);
	assert_int_equal(pins(), alone.pins_before);
}

static void maps_at_its_bus_address(void **state)
{
	(void)state;
	expect(0, vfio_map(alone.container, memory, BUS, HALF));
	expect(0, vfio_unmap(alone.container, BUS, HALF));
	expect(0, vfio_map(alone.container, memory + PAGE, BUS + PAGE, PAGE));
	expect(0, vfio_unmap(alone.container, BUS + PAGE, PAGE));
	expect_refused(alone.container, EDU, memory, bus_address(memory), PAGE, &other_page);
	expect_pins_back();
}

static void refuses_what_it_does_not_reach(void **state)
{
	(void)state;
	expect_refused(alone.container, EDU, memory + HALF, BUS + HALF, PAGE, &unreachable);
	expect_refused(alone.container, EDU, memory + HALF, bus_address(memory + HALF), PAGE, &unreachable);
	/* One page of it is enough. */
	expect_refused(alone.container, EDU, memory, BUS, HALF + PAGE, &unreachable);
	expect_pins_back();
}

static void looks_its_bus_address_up(void **state)
{
	struct flatiommu_segment segment;

	(void)state;
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, vfio_map(alone.container, memory, ELSEWHERE, HALF));
	expect(1, flat_lookup(alone.flat, EDU, ELSEWHERE, HALF, &segment, 1));
	assert_int_equal(segment.address, BUS);
	assert_int_equal(segment.length, HALF);
	assert_int_equal(flat_address(alone.flat, EDU, ELSEWHERE + HALF - 1), BUS + HALF - 1);
	/* What is not to be reached is not to be looked up. */
	expect_refused(alone.container, EDU, memory + HALF, ELSEWHERE + HALF, PAGE, &unreachable);
	/* There is memory at these, for the function. */
	expect_refused(alone.container, EDU, memory, BUS + PAGE, PAGE, &lookup_iova);
	expect_refused(alone.container, EDU, memory, BUS + HALF - PAGE, PAGE, &lookup_iova);
	expect_pins_back();
}

/* How many bytes of a pinned huge page, from @start on, are told as one segment? */
static uint64_t told_of(const char *bdf, uint32_t pin, uint64_t start)
{
	struct flatiommu_segment segment;
	struct flatiommu_lookup arg = {
		.size = sizeof(arg),
		.flags = FLATIOMMU_LOOKUP_PIN,
		.function = flat_function(bdf),
		.pin = pin,
		.nr_segments = 1,
		.start = start,
		.length = HUGE_PAGE - start,
		.segments = (uintptr_t)&segment,
	};

	expect(0, flat_call(alone.flat, FLATIOMMU_LOOKUP, &arg));
	assert_int_equal(arg.nr_segments, 1);
	assert_int_equal(segment.length, arg.length);
	return arg.length;
}

static void looks_a_pin_up(void **state)
{
	struct flatiommu_segment segment;
	uint32_t pin;

	(void)state;
	expect(0, flat_pin(alone.flat, EDU, memory, HUGE_PAGE, 0, &pin));
	expect(1, flat_lookup_pin(alone.flat, EDU, pin, PAGE, HALF - PAGE, &segment, 1));
	assert_int_equal(segment.address, BUS + PAGE);
	assert_int_equal(segment.length, HALF - PAGE);
	/* What it reaches of a huge page is told. */
	assert_int_equal(told_of(EDU, pin, PAGE), HALF - PAGE);
	expect(-ERANGE, flat_lookup_pin(alone.flat, EDU, pin, HALF, PAGE, &segment, 1));
	expect(0, flat_unpin(alone.flat, pin));
	expect_pins_back();
}

/* VFIO gives the other one an I/O address space of its own, in which the same maps are to be. */
static void shares_nothing_with_others(void **state)
{
	(void)state;
	expect(0, vfio_map(alone.container, memory, BUS, HALF));
	expect(-EADDRNOTAVAIL, vfio_open(&other, alone.container, FN1));
	vfio_close(&other);
	expect(0, vfio_unmap(alone.container, BUS, HALF));
	expect(0, vfio_open(&other, alone.container, FN1));
	expect(-EADDRNOTAVAIL, vfio_map(alone.container, memory, BUS, HALF));
	expect(-EADDRNOTAVAIL, vfio_map(alone.container, memory, bus_address(memory), HALF));
	expect_pins_back();
}

static void shares_with_its_like(void **state)
{
	(void)state;
	expect(0, vfio_map(alone.container, memory, BUS, HALF));
	expect(0, give_range(FN1, BUS));
	expect(0, vfio_open(&other, alone.container, FN1));
	expect(0, vfio_unmap(alone.container, BUS, HALF));
	expect(0, vfio_map(alone.container, memory, BUS, HALF));
	vfio_close(&other);
	/* Of the same size, and elsewhere. */
	expect(0, pci_unbind(FN1));
	expect(0, pci_bind(FN1, "vfio-pci"));
	expect(0, give_range(FN1, ELSEWHERE));
	expect(-EADDRNOTAVAIL, vfio_open(&other, alone.container, FN1));
	expect_pins_back();
}

/* As it is said of a function and its surroundings, until unset(). */
static int set(const char *what, unsigned long long value)
{
	char text[128];

	snprintf(text, sizeof(text), "function=%s is=%s %s=%llu", FN1, what,
		 strcmp(what, "limited") ? "offset" : "limit", value);
	return module_load("/flatiommu/setting.ko", text);
}

static int unset(void)
{
	return module_unload("setting");
}

/* It has no range any more. */
static int open_alone(int *own)
{
	int ret = pci_unbind(FN1);

	if (!ret)
		ret = pci_bind(FN1, "vfio-pci");
	return ret ? ret : vfio_open_alone(&other, own, FN1);
}

static void reaches_no_more_than_its_bus(void **state)
{
	struct flatiommu_segment segment;
	uint64_t bus = bus_address(memory);
	uint32_t pin;
	int own = -1;

	(void)state;
	expect(0, set("limited", bus + HALF - 1));
	expect(0, open_alone(&own));
	expect(0, vfio_map(own, memory, bus, HALF));
	expect_refused(own, FN1, memory + HALF, bus + HALF, PAGE, &unreachable);
	expect(0, flat_pin(alone.flat, FN1, memory, HUGE_PAGE, 0, &pin));
	assert_int_equal(flat_address_in_pin(alone.flat, FN1, pin, HALF - 1), bus + HALF - 1);
	assert_int_equal(told_of(FN1, pin, 0), HALF);
	expect(-ERANGE, flat_lookup_pin(alone.flat, FN1, pin, HALF, PAGE, &segment, 1));
	expect(0, flat_unpin(alone.flat, pin));
	vfio_close(&other);
	close_fd(&own);
	expect(0, unset());
	expect_pins_back();
}

/* Where a peer's BAR is on the bus is nothing to be looked up. */
static void windows_are_elsewhere(void **state)
{
	const uint64_t moved = 1ull << 47;
	int own = -1;

	(void)state;
	expect(0, set("moved", moved));
	expect(0, open_alone(&own));
	expect(0, unset());
	expect(0, flat_declare(alone.flat, FN1));
	expect_refused(own, FN1, memory, moved, PAGE, &lookup_iova);
	expect(0, vfio_map(own, memory, 2 * moved, PAGE));
	vfio_close(&other);
	close_fd(&own);
	expect_pins_back();
}

/* Whatever it is that the kernel knows of there. */
static void something_is_there(void **state)
{
	const uint64_t there = 1ull << 47;

	(void)state;
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, set("occupied", there));
	expect_refused(alone.container, EDU, memory + HALF - PAGE, there, PAGE, &lookup_iova);
	expect_refused(alone.container, EDU, memory, there - PAGE, 2 * PAGE, &lookup_iova);
	expect(0, vfio_map(alone.container, memory, there + PAGE, PAGE));
	expect(0, unset());
	expect(0, vfio_map(alone.container, memory, there, PAGE));
	expect_pins_back();
}

/* Nor is memory pinned for what is not to be claimed. */
static void no_pin_for_it(void **state)
{
	uint32_t pin;

	(void)state;
	expect(0, set("external", 0));
	expect(-EOPNOTSUPP, flat_pin(alone.flat, FN1, memory, PAGE, 0, &pin));
	expect(0, unset());
	expect(0, set("bounced", 0));
	expect(-EAFNOSUPPORT, flat_pin(alone.flat, FN1, memory, PAGE, 0, &pin));
	expect(0, unset());
	expect_pins_back();
}

/* Memory that is pinned has been looked up as the function saw it then. */
static void sees_memory_in_one_way(void **state)
{
	uint32_t pin, second;

	(void)state;
	expect(0, pci_unbind(FN1));
	expect(0, pci_bind(FN1, "vfio-pci"));
	expect(0, flat_pin(alone.flat, FN1, memory, PAGE, 0, &pin));
	expect(0, give_range(FN1, BUS));
	expect(-EBUSY, flat_pin(alone.flat, FN1, memory, PAGE, 0, &second));
	assert_int_equal(flat_address_in_pin(alone.flat, FN1, pin, 0), bus_address(memory));
	expect(0, flat_unpin(alone.flat, pin));
	expect(0, flat_pin(alone.flat, FN1, memory, PAGE, 0, &pin));
	expect(0, flat_pin(alone.flat, FN1, memory, PAGE, 0, &second));
	assert_int_equal(flat_address_in_pin(alone.flat, FN1, second, 0), BUS);
	expect(0, flat_unpin(alone.flat, pin));
	expect(0, flat_unpin(alone.flat, second));
	expect_pins_back();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, alone_open, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(maps_at_its_bus_address),
		TEST(refuses_what_it_does_not_reach),
		TEST(looks_its_bus_address_up),
		TEST(looks_a_pin_up),
		TEST(shares_nothing_with_others),
		TEST(shares_with_its_like),
		TEST(reaches_no_more_than_its_bus),
		TEST(windows_are_elsewhere),
		TEST(something_is_there),
		TEST(no_pin_for_it),
		TEST(sees_memory_in_one_way),
	};

	return run_group(tests, begin, end);
}
