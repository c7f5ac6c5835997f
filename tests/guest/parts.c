// SPDX-License-Identifier: MIT
/*
 * Parts of a map are unmapped. VFIO unmaps whole maps; the IOMMU API allows parts, and a module,
 * part.ko, calls it in the I/O address space of a program in look-up mode.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "alone.h"
#include "devices.h"
#include "devnode.h"
#include "kmsg.h"
#include "mem.h"
#include "refusals.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define PAGES	16
#define NOWHERE	FLATIOMMU_LOOKUP_FIRST

static const char *const devices[] = { EDU, NULL };

static char *memory;
static uint64_t bus;

static int call_as(const char *how, uint64_t iova, unsigned int pages, uint64_t phys)
{
	char text[160];
	int ret;

	snprintf(text, sizeof(text), "function=" EDU " iova=%llu size=%zu phys=%llu%s",
		 (unsigned long long)iova, pages * PAGE, (unsigned long long)phys, how);
	ret = module_load("/flatiommu/part.ko", text);
	/* From 7.2 on EEXIST is for a module that is loaded already, and a module's own comes out as this. */
	if (ret == -EBUSY && kernel_is(7, 2))
		ret = -EEXIST;
	return ret ? ret : module_unload("part");
}

static int call(uint64_t iova, unsigned int pages, uint64_t phys)
{
	return call_as("", iova, pages, phys);
}

/* Pages @first to @first + @pages - 1. */
static int map(uint64_t iova, unsigned int first, unsigned int pages)
{
	return call(iova + first * PAGE, pages, bus + first * PAGE);
}

static int unmap(uint64_t iova, unsigned int first, unsigned int pages)
{
	return call(iova + first * PAGE, pages, 0);
}

/* What is mapped is drawn: a letter for a page, a point for a hole. */
static void expect_mapped(uint64_t iova, const char *drawn)
{
	char found[PAGES + 1] = "";
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		uint64_t address = flat_address(alone.flat, EDU, iova + i * PAGE);

		found[i] = address ? 'x' : '.';
		if (address)
			assert_int_equal(address, bus + i * PAGE);
	}
	assert_string_equal(found, drawn);
}

static void cut(uint64_t iova)
{
	expect(0, map(iova, 0, PAGES));
	expect_mapped(iova, "xxxxxxxxxxxxxxxx");
	/* Its end, its beginning, and a page of its middle, which makes two of it. */
	expect(0, unmap(iova, 15, 1));
	expect_mapped(iova, "xxxxxxxxxxxxxxx.");
	expect(0, unmap(iova, 0, 1));
	expect_mapped(iova, ".xxxxxxxxxxxxxx.");
	expect(0, unmap(iova, 4, 1));
	expect_mapped(iova, ".xxx.xxxxxxxxxx.");
	/* For each map that was made there is memory for one that is cut in two. */
	expect(-EIO, unmap(iova, 10, 1));
	expect_mapped(iova, ".xxx.xxxxxxxxxx.");
	expect(0, map(iova, 4, 1));
	expect(0, unmap(iova, 10, 2));
	expect_mapped(iova, ".xxxxxxxxx..xxx.");
	/* The end of one, all of the next, the beginning of the last. */
	expect(0, unmap(iova, 3, 3));
	expect_mapped(iova, ".xx...xxxx..xxx.");
	/* It ends where nothing is mapped. */
	expect(-EIO, unmap(iova, 8, 4));
	expect_mapped(iova, ".xx...xx....xxx.");
	expect(-EIO, unmap(iova, 9, 1));
	expect(-EEXIST, map(iova, 11, 2));
	expect_mapped(iova, ".xx...xx....xxx.");
	expect(0, unmap(iova, 1, 2));
	expect(0, unmap(iova, 6, 2));
	expect(0, unmap(iova, 12, 3));
	expect_mapped(iova, "................");
}

static void at_the_bus_address(void **state)
{
	(void)state;
	cut(bus);
}

static void to_be_looked_up(void **state)
{
	(void)state;
	cut(NOWHERE);
}

/* on_unmap=hold holds each part from when it is unmapped on, and no page twice. */
static void parts_are_held(void **state)
{
	uint32_t pin;

	(void)state;
	expect(0, write_text(PARAMETERS "on_unmap", "hold"));
	/* part.ko pins nothing, and only memory that is pinned is held. */
	expect(0, map(bus, 0, 1));
	expect(0, unmap(bus, 0, 1));
	assert_int_equal(read_number(MISC "held"), 0);
	expect(0, flat_pin(alone.flat, EDU, memory, PAGES * PAGE, 0, &pin));
	expect(0, map(bus, 0, PAGES));
	expect(0, unmap(bus, 15, 1));
	assert_int_equal(read_number(MISC "held"), (long)PAGE);
	expect(0, unmap(bus, 4, 1));
	assert_int_equal(read_number(MISC "held"), (long)(2 * PAGE));
	expect(0, map(bus, 4, 1));
	/* The end of one, all of the next, the beginning of the last. */
	expect(0, unmap(bus, 3, 3));
	assert_int_equal(read_number(MISC "held"), (long)(5 * PAGE));
	expect_mapped(bus, "xxx...xxxxxxxxx.");
	cut(NOWHERE);
	/* PAGES pages, the two that were mapped once more, and nothing that was not mapped. */
	assert_int_equal(read_number(MISC "held"), (long)((5 + PAGES + 1) * PAGE));
	expect(0, unmap(bus, 0, 3));
	expect(0, unmap(bus, 6, 9));
	assert_int_equal(read_number(MISC "held"), (long)((5 + PAGES + 1 + 12) * PAGE));
	vfio_close(&alone.edu);
	assert_int_equal(read_number(MISC "held"), 0);
	expect(0, flat_unpin(alone.flat, pin));
	expect(0, write_text(PARAMETERS "on_unmap", "free"));
}

/* As the core maps the page that MSIs go to, where the kernel asks for it. */
static void other_doorbells_are_no_refusals(void **state)
{
	unsigned long long doorbell = 0;
	struct refusals before, after;
	char path[64], text[512];
	unsigned int page;

	(void)state;
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/reserved_regions", pci_group(EDU));
	expect_good(read_text(path, text, sizeof(text)));
#ifdef __aarch64__
	if (kernel_is(6, 15))
		assert_int_equal(sscanf(text, "%llx %*x msi", &doorbell), 1);
#endif
	if (!doorbell)
		skip_for("this kernel maps no page for MSIs");
	expect(0, write_text(PARAMETERS "on_refusal", "fence"));
	expect(0, vfio_set_bus_master(&alone.edu, true));
	expect(0, refusals_of(getpid(), &before));
	expect(0, log_mark());
	expect(0, call_as(" doorbell=1", doorbell, 1, doorbell));
	for (page = 0; page < 3; page++)
		expect(-EADDRNOTAVAIL, call_as(" doorbell=1", doorbell + page * PAGE, 1, doorbell + 16 * PAGE));
	assert_int_equal(log_count("no MSIs for"), 3);
	assert_int_equal(log_count("is refused a map"), 0);
	expect(0, refusals_of(getpid(), &after));
	assert_int_equal(after.count, before.count);
	expect(1, vfio_bus_master(&alone.edu));
	/* It is one if a program does so. */
	expect(-EADDRNOTAVAIL, call(doorbell + PAGE, 1, doorbell + 16 * PAGE));
	assert_int_equal(log_count("is refused a map"), 1);
	expect(0, vfio_bus_master(&alone.edu));
	expect(0, write_text(PARAMETERS "on_refusal", "warn"));
}

/* The rest goes with the I/O address space. */
static void close_takes_the_rest(void **state)
{
	(void)state;
	expect(0, map(bus, 0, PAGES));
	expect(0, unmap(bus, 4, 1));
	expect(0, map(NOWHERE, 0, PAGES));
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
	if (!memory)
		return -ENOMEM;
	bus = bus_address(memory);
	return bus ? 0 : -EIO;
}

static int end(void **state)
{
	(void)state;
	mem_free(memory, HUGE_PAGE);
	huge_pages(0);
	return flat_end(devices);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, alone_open_declared, alone_close_files)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(at_the_bus_address),
		TEST(to_be_looked_up),
		TEST(parts_are_held),
		TEST(other_doorbells_are_no_refusals),
		TEST(close_takes_the_rest),
	};

	return run_group(tests, begin, end);
}
