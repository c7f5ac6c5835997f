// SPDX-License-Identifier: MIT
/* A domain, a HWPT of iommufd, that exists after its function was closed and released. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdev.h"
#include "devices.h"
#include "devnode.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"

#define NOWHERE FLATIOMMU_LOOKUP_FIRST

static int iommufd = -1, device = -1, devices[2] = { -1, -1 }, flat = -1;
static long pins_before;
static char unsafe_before[8];

static int begin(void **state)
{
	(void)state;
	if (read_text(IOMMUFD_UNSAFE, unsafe_before, sizeof(unsafe_before)) < 0)
		return -1;
	pins_before = pins();
	return write_text(IOMMUFD_UNSAFE, "1");
}

static int end(void **state)
{
	(void)state;
	return write_text(IOMMUFD_UNSAFE, unsafe_before);
}

static bool unload(void *arg)
{
	(void)arg;
	return !flat_unload();
}

static int clean_up(void **state)
{
	(void)state;
	close_fd(&device);
	close_fd(&devices[0]);
	close_fd(&devices[1]);
	close_fd(&flat);
	close_fd(&iommufd);
	pci_give_back(EDU);
	pci_give_back(FN1);
	if (!module_is_loaded("flatiommu"))
		return 0;
	return wait_until(unload, NULL) ? 0 : -1;
}

/* The device is claimed, used, closed and released; what is left is the page table. */
static uint32_t leave_page_table(uint32_t *hwpt)
{
	int id, ioas;

	expect(0, flat_load());
	expect(0, pci_take(EDU));
	iommufd = expect_good(iommufd_open());
	ioas = expect_good(iommufd_alloc_ioas(iommufd));
	device = expect_good(cdev_open(EDU));
	id = expect_good(cdev_bind(device, iommufd));
	*hwpt = (uint32_t)expect_good(iommufd_alloc_hwpt(iommufd, (uint32_t)id, (uint32_t)ioas));
	close_fd(&device);
	expect(0, pci_give_back(EDU));
	expect(-ENOENT, pci_group(EDU));
	return (uint32_t)ioas;
}

static void keeps_the_module(void **state)
{
	uint32_t hwpt;

	(void)state;
	leave_page_table(&hwpt);
	expect(-EWOULDBLOCK, flat_unload());
	close_fd(&iommufd);
	assert_true(wait_until(unload, NULL));
}

static void lets_it_go_when_destroyed(void **state)
{
	uint32_t hwpt;

	(void)state;
	leave_page_table(&hwpt);
	expect(0, iommufd_destroy(iommufd, hwpt));
	assert_true(wait_until(unload, NULL));
}

static void still_maps_and_refuses(void **state)
{
	char *page = mem_pages(1);
	uint32_t hwpt, ioas = leave_page_table(&hwpt);
	uint64_t bus;

	(void)state;
	assert_non_null(page);
	expect(0, iommufd_map_at_bus(iommufd, ioas, page, PAGE, &bus));
	expect(-EADDRNOTAVAIL, iommufd_map(iommufd, ioas, page, NOWHERE, PAGE));
	expect(0, iommufd_unmap(iommufd, ioas, bus, PAGE));
	/* This one is left for the end. */
	expect(0, iommufd_map_at_bus(iommufd, ioas, page, PAGE, &bus));
	close_fd(&iommufd);
	assert_true(wait_until(unload, NULL));
	mem_free(page, PAGE);
	assert_int_equal(pins(), pins_before);
}

#define TRACING "/sys/kernel/tracing/"
#define EVENT TRACING "events/flatiommu/flat_unmap/enable"

/* In how many parts a range was unmapped in one page table of those that were told of it page by page or whole. */
static unsigned int parts_of_many(size_t whole)
{
	static char line[256];
	unsigned int parts = 0;
	unsigned long size;
	FILE *file = fopen(TRACING "trace", "re");
	char *at;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		at = strstr(line, "flat_unmap: ");
		at = at ? strstr(at, "size=") : NULL;
		if (!at)
			continue;
		size = strtoul(at + 5, NULL, 0);
		if (size == whole)
			parts = 1;
		/* More than a run that type1 or iommufd has unpinned by itself. */
		else if (size > whole / 10)
			parts++;
	}
	fclose(file);
	return parts;
}

/* More extents than are unmapped at once, in the page table that is told of the whole range. */
static void unmaps_many(void **state)
{
	static const char *const both[] = { EDU, FN1 };
	enum { COUNT = 1000 };
	char *pages = mem_scattered(COUNT);
	int ioas, i;
	uint32_t hwpt;

	(void)state;
	assert_non_null(pages);
	expect(0, flat_load());
	flat = expect_good(flat_open());
	iommufd = expect_good(iommufd_open());
	ioas = expect_good(iommufd_alloc_ioas(iommufd));
	for (i = 0; i < 2; i++) {
		expect(0, pci_take(both[i]));
		expect(0, flat_declare(flat, both[i]));
		devices[i] = expect_good(cdev_open(both[i]));
		hwpt = (uint32_t)expect_good(cdev_bind(devices[i], iommufd));
		hwpt = (uint32_t)expect_good(iommufd_alloc_hwpt(iommufd, hwpt, (uint32_t)ioas));
		expect(0, cdev_attach(devices[i], hwpt));
	}
	for (i = 0; i < 2; i++) {
		expect(0, iommufd_map(iommufd, (uint32_t)ioas, pages, NOWHERE, COUNT * PAGE));
		assert_true(mem_runs(pages, COUNT) > 600);
		assert_int_equal(flat_address(flat, EDU, NOWHERE + (COUNT - 1) * PAGE),
				 bus_address(pages + (COUNT - 1) * PAGE));
		expect(0, write_text(TRACING "trace", "\n"));
		expect(0, write_text(EVENT, "1"));
		expect(0, iommufd_unmap(iommufd, (uint32_t)ioas, NOWHERE, COUNT * PAGE));
		expect(0, write_text(EVENT, "0"));
		/* Others may map in between. */
		assert_true(parts_of_many(COUNT * PAGE) > 1);
		assert_int_equal(flat_address(flat, FN1, NOWHERE + (COUNT - 1) * PAGE), 0);
	}
	for (i = 0; i < 2; i++) {
		close_fd(&devices[i]);
		expect(0, pci_give_back(both[i]));
	}
	close_fd(&flat);
	close_fd(&iommufd);
	assert_true(wait_until(unload, NULL));
	mem_free(pages, COUNT * PAGE);
	assert_int_equal(pins(), pins_before);
}

/* A page table that is made for one device, and to which only another one is attached. */
static void made_for_another(void **state)
{
	static const char *const both[] = { EDU, FN1 };
	struct flatiommu_segment segment;
	char *pages = mem_pages(2);
	uint32_t hwpt, ids[2], ioas;
	uint64_t bus;
	int i;

	(void)state;
	assert_non_null(pages);
	expect(0, flat_load());
	flat = expect_good(flat_open());
	iommufd = expect_good(iommufd_open());
	ioas = (uint32_t)expect_good(iommufd_alloc_ioas(iommufd));
	for (i = 0; i < 2; i++) {
		expect(0, pci_take(both[i]));
		devices[i] = expect_good(cdev_open(both[i]));
		ids[i] = (uint32_t)expect_good(cdev_bind(devices[i], iommufd));
	}
	hwpt = (uint32_t)expect_good(iommufd_alloc_hwpt(iommufd, ids[0], ioas));
	expect(0, cdev_attach(devices[1], hwpt));
	/* The declarations of those that are attached count. */
	expect(0, flat_declare(flat, EDU));
	expect(-EADDRNOTAVAIL, iommufd_map(iommufd, ioas, pages, NOWHERE, PAGE));
	expect(0, flat_declare(flat, FN1));
	expect(0, iommufd_map(iommufd, ioas, pages, NOWHERE, PAGE));
	assert_int_equal(flat_address(flat, FN1, NOWHERE), bus_address(pages));
	expect(-ENOENT, flat_lookup(flat, EDU, NOWHERE, PAGE, &segment, 1));
	/* It stays when the device that it was made for goes. */
	close_fd(&devices[0]);
	expect(0, pci_give_back(EDU));
	assert_int_equal(flat_address(flat, FN1, NOWHERE), bus_address(pages));
	expect(0, iommufd_map_at_bus(iommufd, ioas, pages + PAGE, PAGE, &bus));
	expect(-EADDRNOTAVAIL, iommufd_map(iommufd, ioas, pages, PAGE, PAGE));
	close_fd(&devices[1]);
	expect(0, pci_give_back(FN1));
	close_fd(&flat);
	close_fd(&iommufd);
	assert_true(wait_until(unload, NULL));
	mem_free(pages, 2 * PAGE);
	assert_int_equal(pins(), pins_before);
}

/* The look-up ends with the claim, whatever is left of its page table. */
static void is_not_looked_up(void **state)
{
	struct flatiommu_segment segment;
	int id, ioas;
	uint32_t hwpt;
	char *page = mem_pages(1);

	(void)state;
	assert_non_null(page);
	expect(0, flat_load());
	flat = expect_good(flat_open());
	expect(0, pci_take(EDU));
	expect(0, flat_declare(flat, EDU));
	iommufd = expect_good(iommufd_open());
	ioas = expect_good(iommufd_alloc_ioas(iommufd));
	device = expect_good(cdev_open(EDU));
	id = expect_good(cdev_bind(device, iommufd));
	hwpt = (uint32_t)expect_good(iommufd_alloc_hwpt(iommufd, (uint32_t)id, (uint32_t)ioas));
	expect(0, cdev_attach(device, hwpt));
	expect(0, iommufd_map(iommufd, (uint32_t)ioas, page, NOWHERE, PAGE));
	assert_int_equal(flat_address(flat, EDU, NOWHERE), bus_address(page));
	close_fd(&device);
	/* Nothing is attached, so nobody looks addresses up in it. */
	expect(-EADDRNOTAVAIL, iommufd_map(iommufd, (uint32_t)ioas, page, NOWHERE + PAGE, PAGE));
	expect(0, pci_give_back(EDU));
	expect(-ENODEV, flat_lookup(flat, EDU, NOWHERE, PAGE, &segment, 1));
	close_fd(&flat);
	expect(-EWOULDBLOCK, flat_unload());
	close_fd(&iommufd);
	assert_true(wait_until(unload, NULL));
	mem_free(page, PAGE);
	assert_int_equal(pins(), pins_before);
}

#define TEST(f) cmocka_unit_test_teardown(f, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(keeps_the_module),
		TEST(lets_it_go_when_destroyed),
		TEST(still_maps_and_refuses),
		TEST(unmaps_many),
		TEST(made_for_another),
		TEST(is_not_looked_up),
	};

	if (!cdev_is_there())
		skip_all("this kernel has no iommufd or no VFIO character devices");
	return run_group(tests, begin, end);
}
