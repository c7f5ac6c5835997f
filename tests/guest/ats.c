// SPDX-License-Identifier: MIT
/*
 * Resets of a function with ATS: from Linux 7.0 on the IOMMU core blocks the function during a
 * reset, as for a take-over, and also when a program only queries whether a reset exists.
 */
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "caps.h"
#include "cdev.h"
#include "devices.h"
#include "devnode.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define DEV HOT_EMPTY_DEV
#define SYS "/sys/bus/pci/devices/" DEV "/"

static struct vfio_dev dev = VFIO_DEV_INIT;
static int container = -1, iommufd = -1, flat = -1;
static uint32_t ioas, hwpt;
static char *page;
static uint64_t bus;
static char unsafe_before[8];

static bool plug(void *arg)
{
	(void)arg;
	return !system("qmp '{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"virtio-rng-pci\","
		       " \"id\": \"ats\", \"bus\": \"hot0\", \"disable-legacy\": \"on\", \"ats\": true}}'"
		       " >/dev/null 2>&1");
}

static bool is_there(void *arg)
{
	(void)arg;
	return pci_is_there(DEV);
}

static bool is_gone(void *arg)
{
	return !is_there(arg);
}

static int begin(void **state)
{
	(void)state;
	if (!wait_until(plug, NULL) || !wait_until(is_there, NULL))
		return -ENODEV;
	if (cdev_is_there() && (read_text(IOMMUFD_UNSAFE, unsafe_before, sizeof(unsafe_before)) < 0 ||
				write_text(IOMMUFD_UNSAFE, "1")))
		return -EIO;
	return flat_load();
}

static int end(void **state)
{
	(void)state;
	if (unsafe_before[0])
		write_text(IOMMUFD_UNSAFE, unsafe_before);
	if (flat_unload() || system("qmp '{\"execute\": \"device_del\", \"arguments\": {\"id\": \"ats\"}}' >/dev/null"))
		return -1;
	return wait_until(is_gone, NULL) ? 0 : -1;
}

static int take(void **state)
{
	(void)state;
	return pci_take(DEV);
}

static int give_back(void **state)
{
	(void)state;
	vfio_close(&dev);
	close_fd(&container);
	close_fd(&iommufd);
	close_fd(&flat);
	write_text(PARAMETERS "on_refusal", "warn");
	write_text(PARAMETERS "on_unmap", "free");
	return pci_give_back(DEV);
}

/* A program has it, and somebody looks whether its bus can be reset. */
static void a_look_stops_nothing(void **state)
{
	(void)state;
	page = mem_pages(1);
	assert_non_null(page);
	expect(0, vfio_open_alone(&dev, &container, DEV));
	expect(0, vfio_map_at_bus(container, page, PAGE, &bus));
	expect(1, vfio_bus_master(&dev));
	expect(0, write_text(SYS "reset_method", "bus"));
	expect(1, vfio_bus_master(&dev));
	/* It was stopped by its program; nothing starts it. */
	expect(0, vfio_set_bus_master(&dev, false));
	expect(0, write_text(SYS "reset_method", "bus"));
	expect(0, vfio_bus_master(&dev));
	expect(0, write_text(SYS "reset_method", "default"));
	expect(0, vfio_unmap(container, bus, PAGE));
	mem_free(page, PAGE);
}

static int reset_without_privilege(void *arg)
{
	int ret = drop_capability(CAP_SYS_RAWIO);

	(void)arg;
	return ret ? ret : write_text(SYS "reset", "1");
}

static int open_without_privilege(void *arg)
{
	struct vfio_dev own = VFIO_DEV_INIT;
	int fd = vfio_container(), ret = drop_capability(CAP_SYS_RAWIO);

	(void)arg;
	return ret ? ret : vfio_open(&own, fd, DEV);
}

/* Nobody has it: whoever may write to its file may reset it. That opens no way to have it. */
static void a_reset_is_no_take_over(void **state)
{
	(void)state;
	expect(0, in_child(reset_without_privilege, NULL));
	expect(-EPERM, in_child(open_without_privilege, NULL));
	expect(0, in_child(reset_without_privilege, NULL));
	expect(-EPERM, in_child(open_without_privilege, NULL));
	expect(0, vfio_open_alone(&dev, &container, DEV));
	expect(0, vfio_reset(&dev));
}

static atomic_bool reset_is_over;

static void *reset(void *arg)
{
	int *ret = arg;

	*ret = write_text(SYS "reset", "1");
	reset_is_over = true;
	return NULL;
}

/*
 * A reset may fail, and the kernel then lets the function go on as before. So memory that is unmapped during a reset
 * is held, too.
 */
static void holds_in_a_reset(void **state)
{
	enum { COUNT = 256 };
	uint64_t at[COUNT];
	pthread_t thread;
	size_t i;
	int ret;

	(void)state;
	page = mem_pages(COUNT);
	assert_non_null(page);
	expect(0, write_text(PARAMETERS "on_unmap", "hold"));
	expect(0, vfio_open_alone(&dev, &container, DEV));
	for (i = 0; i < COUNT; i++)
		expect(0, vfio_map_at_bus(container, page + i * PAGE, PAGE, &at[i]));
	reset_is_over = false;
	assert_int_equal(pthread_create(&thread, NULL, reset, &ret), 0);
	/* The kernel sleeps for 100 ms or longer while the function is blocked. */
	for (i = 0; i < COUNT && !reset_is_over; i++) {
		expect(0, vfio_unmap(container, at[i], PAGE));
		usleep(1000);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	expect(0, ret);
	assert_int_not_equal(i, 0);
	assert_int_equal(read_number(MISC "held"), i * PAGE);
	vfio_close(&dev);
	close_fd(&container);
	assert_int_equal(read_number(MISC "held"), 0);
	mem_free(page, COUNT * PAGE);
}

static int bind_without_privilege(void *arg)
{
	int own = iommufd_open(), cdev = cdev_open(DEV), ret = drop_capability(CAP_SYS_RAWIO);

	(void)arg;
	if (own < 0 || cdev < 0)
		return -ENOENT;
	if (!ret)
		ret = cdev_bind(cdev, own);
	return ret < 0 ? ret : 0;
}

/* By iommufd a device is had without a page table. */
static void a_bind_is_one(void **state)
{
	int cdev;

	(void)state;
	if (!cdev_is_there())
		skip_for("this kernel has no VFIO character devices");
	expect(0, in_child(reset_without_privilege, NULL));
	expect(-EPERM, in_child(bind_without_privilege, NULL));
	expect(-EPERM, in_child(bind_without_privilege, NULL));
	iommufd = expect_good(iommufd_open());
	cdev = expect_good(cdev_open(DEV));
	expect_good(cdev_bind(cdev, iommufd));
	close_fd(&cdev);
	close_fd(&iommufd);
}

/*
 * In a page table of its own, which is there when it is detached; with a page mapped and another one pinned. It is
 * taken out of the page table, as for a reset.
 */
static void open_and_detach(uint32_t *pin)
{
	int id;

	if (!cdev_is_there())
		skip_for("this kernel has no VFIO character devices");
	page = mem_pages(2);
	assert_non_null(page);
	iommufd = expect_good(iommufd_open());
	dev.fd = expect_good(cdev_open(DEV));
	id = expect_good(cdev_bind(dev.fd, iommufd));
	ioas = (uint32_t)expect_good(iommufd_alloc_ioas(iommufd));
	hwpt = (uint32_t)expect_good(iommufd_alloc_hwpt(iommufd, (uint32_t)id, ioas));
	expect(0, cdev_attach(dev.fd, hwpt));
	expect(0, vfio_use_device(&dev));
	expect(0, iommufd_map_at_bus(iommufd, ioas, page, PAGE, &bus));
	flat = expect_good(flat_open());
	expect(0, flat_pin(flat, DEV, page + PAGE, PAGE, 0, pin));
	expect(0, vfio_set_bus_master(&dev, true));
	expect(0, cdev_detach(dev.fd));
	expect(0, vfio_bus_master(&dev));
}

/* Does the function go on, once it is back? */
static void attach(int goes_on)
{
	expect(0, cdev_attach(dev.fd, hwpt));
	expect(kernel_is(7, 0) ? goes_on : 0, vfio_bus_master(&dev));
	vfio_close(&dev);
	close_fd(&iommufd);
	close_fd(&flat);
	mem_free(page, 2 * PAGE);
}

static void back_where_it_was(void **state)
{
	uint32_t pin;

	(void)state;
	open_and_detach(&pin);
	attach(1);
}

static void unmapped_meanwhile(void **state)
{
	uint32_t pin;

	(void)state;
	open_and_detach(&pin);
	expect(0, iommufd_unmap(iommufd, ioas, bus, PAGE));
	attach(0);
}

static void unpinned_meanwhile(void **state)
{
	uint32_t pin;

	(void)state;
	open_and_detach(&pin);
	expect(0, flat_unpin(flat, pin));
	attach(0);
}

/* The end of the pin comes first: there is nothing to go on with. */
static void unpinned_before(void **state)
{
	uint32_t pin;

	(void)state;
	open_and_detach(&pin);
	expect(0, cdev_attach(dev.fd, hwpt));
	expect(0, vfio_set_bus_master(&dev, true));
	expect(0, flat_unpin(flat, pin));
	expect(0, cdev_detach(dev.fd));
	attach(0);
}

/* A program that goes on as if its map had been made is stopped for good. */
static void refused_meanwhile(void **state)
{
	uint32_t pin;

	(void)state;
	open_and_detach(&pin);
	expect(0, write_text(PARAMETERS "on_refusal", "fence"));
	expect(-EADDRNOTAVAIL, iommufd_map(iommufd, ioas, page, 1ull << 40, PAGE));
	attach(0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, take, give_back)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_look_stops_nothing),
		TEST(a_reset_is_no_take_over),
		TEST(holds_in_a_reset),
		TEST(a_bind_is_one),
		TEST(back_where_it_was),
		TEST(unmapped_meanwhile),
		TEST(unpinned_meanwhile),
		TEST(unpinned_before),
		TEST(refused_meanwhile),
	};

	return run_group(tests, begin, end);
}
