// SPDX-License-Identifier: MIT
/*
 * A mediated device is the first one in a container: its maps are neither pinned nor checked until
 * a claimed device joins. Uses the kernel's sample mtty, if it was built.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "devices.h"
#include "edu.h"
#include "kmsg.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define MTTY_FILE "/flatiommu/mtty.ko"
#define TYPE "/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1/"
#define UUID "5c2e6d0b-4a1f-4c1e-9d5e-0f1a7c0ffee1"
#define MDEV "/sys/bus/mdev/devices/" UUID "/"
#define NOWHERE (1ull << 40)
#define PAGES 32

static const char *const devices[] = { EDU, NULL };

static struct vfio_dev edu = VFIO_DEV_INIT;
static int container = -1, group = -1;
static char *pages;
static uint64_t bus[PAGES];
static long pins_before;

static int begin(void **state)
{
	int ret = flat_begin(devices);

	(void)state;
	return ret ? ret : write_text(TYPE "create", UUID);
}

static int end(void **state)
{
	(void)state;
	write_text(MDEV "remove", "1");
	if (module_unload("mtty"))
		return -1;
	return flat_end(devices);
}

static int open_mdev_group(void)
{
	char link[256], path[64];
	ssize_t length = readlink(MDEV "iommu_group", link, sizeof(link) - 1);
	int fd;

	if (length < 0)
		return -errno;
	link[length] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio/%s", last_part(link));
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A container with the mediated device, in which all pages are mapped at their bus addresses. */
static int open_container(void **state)
{
	unsigned int i;

	(void)state;
	pins_before = pins();
	pages = mem_scattered(PAGES);
	assert_non_null(pages);
	container = expect_good(vfio_container());
	group = expect_good(open_mdev_group());
	expect(0, vfio_set_container(group, container));
	expect(0, vfio_set_iommu(container));
	for (i = 0; i < PAGES; i++) {
		bus[i] = bus_address(pages + i * PAGE);
		expect(0, vfio_map(container, pages + i * PAGE, bus[i], PAGE));
	}
	assert_int_equal(pins(), pins_before);
	return 0;
}

static int close_container(void **state)
{
	(void)state;
	vfio_close(&edu);
	close_fd(&group);
	close_fd(&container);
	mem_free(pages, PAGES * PAGE);
	pages = NULL;
	return 0;
}

static void joins_what_is_right(void **state)
{
	expect(0, vfio_open(&edu, container, EDU));
	assert_int_equal(pins(), pins_before + PAGES);
	expect(0, vfio_set_bus_master(&edu, true));
	fill(pages, PAGE, 1);
	expect(0, edu_load(edu.bar0, bus[0], EDU_COPY));
	expect(0, edu_store(edu.bar0, bus[PAGES - 1], EDU_COPY));
	assert_true(is_filled(pages + (PAGES - 1) * PAGE, EDU_COPY, 1));
	close_container(state);
	assert_int_equal(pins(), pins_before);
}

/*
 * Type1 then maps and pins page by page until one is refused, and takes all of it back; for that it
 * asks the module what is mapped.
 */
static void refuses_what_is_wrong(void **state)
{
	char *page = mem_pages(1);

	assert_non_null(page);
	expect(0, vfio_map(container, page, NOWHERE, PAGE));
	expect(0, log_mark());
	edu.group = expect_good(vfio_group(EDU));
	expect(-EADDRNOTAVAIL, vfio_set_container(edu.group, container));
	assert_int_equal(log_count("is refused a map"), 1);
	assert_int_equal(pins(), pins_before);

	/* Nothing is spoilt: without that page it may come. */
	expect(0, vfio_unmap(container, NOWHERE, PAGE));
	close_fd(&edu.group);
	expect(0, vfio_open(&edu, container, EDU));
	close_container(state);
	mem_free(page, PAGE);
	assert_int_equal(pins(), pins_before);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_container, close_container)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(joins_what_is_right),
		TEST(refuses_what_is_wrong),
	};

	/* The kernel's own, or one that was built for it. */
	if (module_probe("mtty") && (module_probe("mdev") || module_load(MTTY_FILE, "")))
		skip_all("this kernel has no mtty, and none was built for it");
	return run_group(tests, begin, end);
}
