// SPDX-License-Identifier: MIT
/*
 * VFIO's character device and iommufd, if the kernel has them: which programs may bind, and which
 * maps are accepted.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "caps.h"
#include "cdev.h"
#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "kmsg.h"
#include "mem.h"
#include "refusals.h"
#include "sysfs.h"
#include "test.h"

static const char *const devices[] = { EDU, FN1, NULL };

static struct vfio_dev edu = VFIO_DEV_INIT;
static int iommufd = -1;
static long pins_before;
static char unsafe_before[8];

static int begin(void **state)
{
	char path[64];
	int ret = flat_begin(devices);

	(void)state;
	if (!ret)
		ret = cdev_path(EDU, path, sizeof(path));
	/* As with type1, see ../vm/guest. */
	if (ret || read_text(IOMMUFD_UNSAFE, unsafe_before, sizeof(unsafe_before)) < 0 ||
	    write_text(IOMMUFD_UNSAFE, "1"))
		return -1;
	pins_before = pins();
	return chmod(path, 0666) || chmod("/dev/vfio/devices", 0755) || chmod("/dev/iommu", 0666);
}

static int end(void **state)
{
	(void)state;
	write_text(IOMMUFD_UNSAFE, unsafe_before);
	chmod("/dev/iommu", 0660);
	return flat_end(devices);
}

static int close_all(void **state)
{
	(void)state;
	vfio_close(&edu);
	close_fd(&iommufd);
	return 0;
}

/* Binds edu and sets bus mastering; that it does so is all that it takes to do DMA. */
static int bind_edu(int (*change)(void))
{
	int ret = change ? change() : 0;

	if (ret)
		return ret;
	iommufd = iommufd_open();
	edu.bdf = EDU;
	edu.fd = cdev_open(EDU);
	if (iommufd < 0 || edu.fd < 0)
		return -EBADF;
	ret = cdev_bind(edu.fd, iommufd);
	if (ret < 0)
		return ret;
	ret = vfio_use_device(&edu);
	return ret ? ret : vfio_set_bus_master(&edu, true);
}

static int bind_as_nobody(void *arg)
{
	(void)arg;
	return bind_edu(become_nobody);
}

static int without(void)
{
	return drop_capability(CAP_SYS_RAWIO);
}

static int bind_as_root_without(void *arg)
{
	(void)arg;
	return bind_edu(without);
}

static int with(void)
{
	return become_nobody_with(CAP_SYS_RAWIO);
}

static int bind_as_nobody_with(void *arg)
{
	(void)arg;
	return bind_edu(with);
}

static void expect_no_permission(int (*fn)(void *arg))
{
	unsigned int lines;
	const char *line;
	char name[32];
	pid_t pid;

	expect(0, log_mark());
	pid = expect_good(child_begin(fn, NULL));
	expect(-EPERM, child_end(pid));
	line = log_lines("flatiommu", &lines);
	assert_int_equal(lines, 1);
	assert_non_null(strstr(line, EDU));
	assert_non_null(strstr(line, "CAP_SYS_RAWIO"));
	snprintf(name, sizeof(name), "cdev.t[%d]", (int)pid);
	assert_non_null(strstr(line, name));
}

static void nobody_may_not_bind(void **state)
{
	(void)state;
	expect_no_permission(bind_as_nobody);
}

static void root_without_it_may_not_bind(void **state)
{
	(void)state;
	expect_no_permission(bind_as_root_without);
}

static void nobody_with_it_may_bind(void **state)
{
	(void)state;
	expect(0, in_child(bind_as_nobody_with, NULL));
}

/* edu, bound and attached to an IOAS of its own. */
static uint32_t open_edu(void)
{
	int ioas;

	expect(0, bind_edu(NULL));
	ioas = expect_good(iommufd_alloc_ioas(iommufd));
	expect(0, cdev_attach(edu.fd, (uint32_t)ioas));
	expect(0, vfio_set_bus_master(&edu, true));
	return (uint32_t)ioas;
}

static void maps_at_bus_addresses(void **state)
{
	uint32_t ioas = open_edu();
	char *pages = mem_scattered(2);
	uint64_t from, to;

	(void)state;
	assert_non_null(pages);
	fill(pages, PAGE, 1);
	expect(0, iommufd_map_at_bus(iommufd, ioas, pages, PAGE, &from));
	expect(0, iommufd_map_at_bus(iommufd, ioas, pages + PAGE, PAGE, &to));
	expect(0, edu_load(edu.bar0, from, EDU_COPY));
	expect(0, edu_store(edu.bar0, to, EDU_COPY));
	assert_true(is_filled(pages + PAGE, EDU_COPY, 1));
	expect(0, iommufd_unmap(iommufd, ioas, from, PAGE));
	expect(0, iommufd_unmap(iommufd, ioas, to, PAGE));
	mem_free(pages, 2 * PAGE);
	assert_int_equal(pins(), pins_before);
}

static void maps_nowhere_else(void **state)
{
	uint32_t ioas = open_edu();
	char *pages = mem_scattered(2);
	struct refusals r;
	uint64_t bus;

	(void)state;
	assert_non_null(pages);
	expect(0, log_mark());
	expect(-EADDRNOTAVAIL, iommufd_map(iommufd, ioas, pages, (uintptr_t)pages, PAGE));
	assert_int_equal(log_count(virtual_address.text), 1);
	assert_int_equal(log_count(EDU), 1);
	expect(-EADDRNOTAVAIL,
	       iommufd_map(iommufd, ioas, pages, bus_address(pages + PAGE), PAGE));
	expect(0, refusals_of(getpid(), &r));
	assert_string_equal(r.cause, other_page.name);
	/* Two pages that are apart. */
	expect(-EADDRNOTAVAIL, iommufd_map(iommufd, ioas, pages, bus_address(pages), 2 * PAGE));
	expect(-ENOENT, iommufd_unmap(iommufd, ioas, bus_address(pages), 2 * PAGE));
	assert_int_equal(pins(), pins_before);
	expect(0, iommufd_map_at_bus(iommufd, ioas, pages, PAGE, &bus));
	expect(0, iommufd_unmap(iommufd, ioas, bus, PAGE));
	mem_free(pages, 2 * PAGE);
}

/* A second device comes to maps that are there already. */
static void attach_takes_what_is_mapped(void **state)
{
	struct vfio_dev edu2 = VFIO_DEV_INIT;
	uint32_t ioas = open_edu();
	char *pages = mem_scattered(2);
	uint64_t from, to;

	(void)state;
	assert_non_null(pages);
	fill(pages, PAGE, 2);
	expect(0, iommufd_map_at_bus(iommufd, ioas, pages, PAGE, &from));
	expect(0, iommufd_map_at_bus(iommufd, ioas, pages + PAGE, PAGE, &to));
	edu2.bdf = FN1;
	edu2.fd = expect_good(cdev_open(FN1));
	expect_good(cdev_bind(edu2.fd, iommufd));
	expect(0, cdev_attach(edu2.fd, ioas));
	expect(0, vfio_use_device(&edu2));
	expect(0, vfio_set_bus_master(&edu2, true));
	expect(0, edu_load(edu2.bar0, from, EDU_COPY));
	expect(0, edu_store(edu2.bar0, to, EDU_COPY));
	assert_true(is_filled(pages + PAGE, EDU_COPY, 2));
	vfio_close(&edu2);
	close_all(state);
	mem_free(pages, 2 * PAGE);
	assert_int_equal(pins(), pins_before);
}

/* An IOAS without a device takes any IOVA; a device does not join it then. */
static void attach_refuses_what_is_wrong(void **state)
{
	char *pages = mem_scattered(2);
	int ioas, good;
	uint64_t bus;

	(void)state;
	assert_non_null(pages);
	expect(0, bind_edu(NULL));
	ioas = expect_good(iommufd_alloc_ioas(iommufd));
	expect(0, iommufd_map_at_bus(iommufd, (uint32_t)ioas, pages, PAGE, &bus));
	expect(0, iommufd_map(iommufd, (uint32_t)ioas, pages + PAGE, 1ull << 40, PAGE));
	expect(0, log_mark());
	expect(-EADDRNOTAVAIL, cdev_attach(edu.fd, (uint32_t)ioas));
	assert_int_equal(log_count("is refused a map"), 1);
	good = expect_good(iommufd_alloc_ioas(iommufd));
	expect(0, cdev_attach(edu.fd, (uint32_t)good));
	expect(0, iommufd_map_at_bus(iommufd, (uint32_t)good, pages, PAGE, &bus));
	close_all(state);
	mem_free(pages, 2 * PAGE);
	assert_int_equal(pins(), pins_before);
}

/* It does no DMA without an I/O address space, nor with the next one, until its owner lets it. */
static void detach_stops_dma(void **state)
{
	uint32_t ioas = open_edu();
	char *page = mem_pages(1);
	uint64_t bus;

	(void)state;
	assert_non_null(page);
	fill(page, PAGE, 3);
	expect(0, iommufd_map_at_bus(iommufd, ioas, page, PAGE, &bus));
	expect(0, edu_load(edu.bar0, bus, EDU_COPY));
	expect(0, cdev_detach(edu.fd));
	expect(0, vfio_bus_master(&edu));
	memset(page, 0, PAGE);
	expect(0, edu_store(edu.bar0, bus, EDU_COPY));
	assert_false(is_filled(page, EDU_COPY, 3));
	expect(0, cdev_attach(edu.fd, ioas));
	expect(0, vfio_bus_master(&edu));
	expect(0, vfio_set_bus_master(&edu, true));
	expect(0, edu_store(edu.bar0, bus, EDU_COPY));
	assert_true(is_filled(page, EDU_COPY, 3));
	close_all(state);
	mem_free(page, PAGE);
	assert_int_equal(pins(), pins_before);
}

/* With a declaration an IOAS takes any IOVA, and an undeclared device does not join it then. */
static void maps_to_be_looked_up(void **state)
{
	struct vfio_dev edu2 = VFIO_DEV_INIT;
	const uint64_t iova = FLATIOMMU_LOOKUP_FIRST;
	char *pages = mem_scattered(8);
	uint32_t ioas = open_edu();
	int flat, i;

	(void)state;
	assert_non_null(pages);
	flat = expect_good(flat_open());
	expect(0, flat_declare(flat, EDU));
	expect(0, iommufd_map(iommufd, ioas, pages, iova, 8 * PAGE));
	for (i = 0; i < 8; i++)
		assert_int_equal(flat_address(flat, EDU, iova + (uint64_t)i * PAGE),
				 bus_address(pages + (size_t)i * PAGE));
	fill(pages, PAGE, 4);
	expect(0, edu_load(edu.bar0, flat_address(flat, EDU, iova), EDU_COPY));
	expect(0, edu_store(edu.bar0, flat_address(flat, EDU, iova + 7 * PAGE), EDU_COPY));
	assert_true(is_filled(pages + 7 * PAGE, EDU_COPY, 4));

	edu2.bdf = FN1;
	edu2.fd = expect_good(cdev_open(FN1));
	expect_good(cdev_bind(edu2.fd, iommufd));
	expect(-EADDRNOTAVAIL, cdev_attach(edu2.fd, ioas));
	expect(0, flat_declare(flat, FN1));
	expect(0, cdev_attach(edu2.fd, ioas));
	assert_int_equal(flat_address(flat, FN1, iova), bus_address(pages));

	/* Detached, it may come back, and its maps are looked up no more than they are in use. */
	expect(0, cdev_detach(edu2.fd));
	expect(0, cdev_attach(edu2.fd, ioas));
	vfio_close(&edu2);
	close_fd(&flat);
	expect(0, iommufd_unmap(iommufd, ioas, iova, 8 * PAGE));
	close_all(state);
	mem_free(pages, 8 * PAGE);
	assert_int_equal(pins(), pins_before);
}

#define TEST(f) cmocka_unit_test_teardown(f, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_may_not_bind),
		TEST(root_without_it_may_not_bind),
		TEST(nobody_with_it_may_bind),
		TEST(maps_at_bus_addresses),
		TEST(maps_nowhere_else),
		TEST(attach_takes_what_is_mapped),
		TEST(attach_refuses_what_is_wrong),
		TEST(detach_stops_dma),
		TEST(maps_to_be_looked_up),
	};

	if (!cdev_is_there())
		skip_all("this kernel has no iommufd or no VFIO character devices");
	return run_group(tests, begin, end);
}
