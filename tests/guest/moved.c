// SPDX-License-Identifier: MIT
/*
 * Memory in ZONE_MOVABLE, on the machine that has it: pinning a page moves it, so a map at an
 * address that was looked up before is refused, and at one that was looked up after is accepted.
 */
#include <string.h>
#include <unistd.h>

#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "fixture.h"
#include "mem.h"
#include "refusals.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

static const char *const devices[] = { EDU, NULL };

static struct vfio_dev edu = VFIO_DEV_INIT;
static int container = -1;
static long pins_before;

static int open_container(void **state)
{
	(void)state;
	pins_before = pins();
	return vfio_open_alone(&edu, &container, EDU);
}

static int close_container(void **state)
{
	(void)state;
	vfio_close(&edu);
	close_fd(&container);
	return huge_pages(0);
}

/* Where ZONE_MOVABLE is, in bytes. Every node of this machine is the first one. */
static bool find_movable(uint64_t *start, uint64_t *size)
{
	unsigned long value;
	bool movable = false;
	char line[256];
	FILE *file = fopen("/proc/zoneinfo", "re");

	*start = 0;
	*size = 0;
	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "Node", 4))
			movable = strstr(line, "Movable");
		if (movable && sscanf(line, " spanned %lu", &value) == 1)
			*size = value * PAGE;
		if (movable && sscanf(line, " start_pfn: %lu", &value) == 1)
			*start = value * PAGE;
	}
	if (file)
		fclose(file);
	return *start && *size;
}

static bool is_in_movable(uint64_t bus)
{
	uint64_t start, size;

	assert_true(find_movable(&start, &size));
	return bus >= start && bus - start < size;
}

/* The page that is refused was there a moment ago, and the next try works. */
static void expect_to_work_at_second_try(char *addr, size_t size)
{
	uint64_t bus = bus_address(addr);

	assert_true(is_in_movable(bus));
	fill(addr, PAGE, 1);
	expect_refused(container, EDU, addr, bus, size, &other_page);
	assert_int_equal(pins(), pins_before);
	assert_int_not_equal(bus_address(addr), bus);
	bus = bus_address(addr);
	assert_false(is_in_movable(bus));
	expect(0, vfio_map(container, addr, bus, size));
	assert_true(is_filled(addr, PAGE, 1));

	/* The device finds it there. */
	expect(0, edu_load(edu.bar0, bus, EDU_COPY));
	memset(addr, 0, PAGE);
	expect(0, edu_store(edu.bar0, bus, EDU_COPY));
	assert_true(is_filled(addr, EDU_COPY, 1));
	expect(0, vfio_unmap(container, bus, size));
	mem_free(addr, size);
	assert_int_equal(pins(), pins_before);
}

static void ordinary_page(void **state)
{
	char *page = mem_pages(1);

	(void)state;
	assert_non_null(page);
	expect_to_work_at_second_try(page, PAGE);
}

static void huge_page(void **state)
{
	char *page;

	(void)state;
	expect(0, huge_pages(2));
	page = mem_huge();
	assert_non_null(page);
	expect_to_work_at_second_try(page, HUGE_PAGE);
}

/* A pin is for long: its memory is moved to where nothing needs to move. */
static void pin_moves_it_out(void **state)
{
	char *page = mem_pages(1);
	int flat = flat_open();
	uint32_t pin;

	(void)state;
	expect_good(flat);
	assert_non_null(page);
	assert_true(is_in_movable(bus_address(page)));
	expect(0, flat_pin(flat, EDU, page, PAGE, 0, &pin));
	assert_false(is_in_movable(bus_address(page)));
	assert_int_equal(flat_address_in_pin(flat, EDU, pin, 0), bus_address(page));
	expect(0, flat_unpin(flat, pin));
	close(flat);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_container, close_container)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ordinary_page),
		TEST(huge_page),
		TEST(pin_moves_it_out),
	};
	const struct CMUnitTest old_tests[] = {
		TEST(ordinary_page),
		TEST(pin_moves_it_out),
	};
	uint64_t start, size;

	if (!find_movable(&start, &size))
		skip_all("this machine has no ZONE_MOVABLE");
	/*
	 * 6.1 warns in its own follow_hugetlb_page() and has ENOMEM for every try to pin such a
	 * page, whatever the IOMMU.
	 */
	if (!kernel_is(6, 2))
		return run_with(devices, old_tests);
	return run_with(devices, tests);
}
