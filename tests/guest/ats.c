// SPDX-License-Identifier: MIT
/*
 * Resets of a function with ATS: from Linux 7.0 on the IOMMU core blocks the function during a
 * reset, as for a take-over, and also when somebody only asks whether a reset exists.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>

#include "caps.h"
#include "cdev.h"
#include "devices.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define DEV HOT_EMPTY_DEV
#define SYS "/sys/bus/pci/devices/" DEV "/"

static struct vfio_dev dev = VFIO_DEV_INIT;
static int container = -1;
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
	return pci_give_back(DEV);
}

/* A program has it, and somebody looks whether its bus can be reset. */
static void a_look_stops_nothing(void **state)
{
	char *page = mem_pages(1);
	uint64_t bus;

	(void)state;
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

static int bind_without_privilege(void *arg)
{
	int iommufd = iommufd_open(), cdev = cdev_open(DEV), ret = drop_capability(CAP_SYS_RAWIO);

	(void)arg;
	if (iommufd < 0 || cdev < 0)
		return -ENOENT;
	if (!ret)
		ret = cdev_bind(cdev, iommufd);
	return ret < 0 ? ret : 0;
}

/* By iommufd a device is had without a page table. */
static void a_bind_is_one(void **state)
{
	int iommufd, cdev;

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, take, give_back)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_look_stops_nothing),
		TEST(a_reset_is_no_take_over),
		TEST(a_bind_is_one),
	};

	return run_group(tests, begin, end);
}
