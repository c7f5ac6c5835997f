// SPDX-License-Identifier: MIT
/* Resets of a function alone, and of the two functions that share a slot. */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "devices.h"
#include "edu.h"
#include "mem.h"
#include "nvme.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

static struct vfio_dev dev = VFIO_DEV_INIT, sibling = VFIO_DEV_INIT;
static struct nvme nvme;
static int container = -1, container2 = -1;

static int begin(void **state)
{
	(void)state;
	return flat_load();
}

static int end(void **state)
{
	(void)state;
	return flat_unload();
}

/* The device and the controller of it run. */
static int open_nvme(const char *bdf)
{
	expect(0, pci_take(bdf));
	container = expect_good(vfio_container());
	expect(0, vfio_open(&dev, container, bdf));
	expect(0, nvme_start(&nvme, &dev, container));
	return 0;
}

static int open_single(void **state)
{
	(void)state;
	return open_nvme(NVME);
}

static int open_function_0(void **state)
{
	(void)state;
	return open_nvme(FN0);
}

static int close_all(void **state)
{
	(void)state;
	nvme_stop(&nvme);
	vfio_close(&sibling);
	vfio_close(&dev);
	close_fd(&container2);
	close_fd(&container);
	if (pci_give_back(NVME) || pci_give_back(FN0) || pci_give_back(FN1))
		return -1;
	return 0;
}

static void expect_nvme_works(void)
{
	memset(nvme.data, 0, PAGE);
	expect(0, nvme_identify(&nvme, NVME_CNS_CONTROLLER));
	assert_memory_equal(((struct nvme_id_ctrl *)nvme.data)->sn, "flat", 4);
}

static void restart_nvme(void)
{
	nvme_stop(&nvme);
	expect(0, nvme_start(&nvme, &dev, container));
}

static void function_reset(void **state)
{
	int master;

	(void)state;
	expect_nvme_works();
	master = vfio_bus_master(&dev);
	expect(1, master);
	expect(0, vfio_reset(&dev));
	assert_false(nvme_is_ready(&nvme));
	/* Config space is what it was before, and the map is still there. */
	expect(1, vfio_bus_master(&dev));
	restart_nvme();
	expect_nvme_works();
}

/* The program that comes next finds a device that was reset and may not do DMA. */
static void close_resets(void **state)
{
	(void)state;
	expect_nvme_works();
	/* Not stopped. */
	vfio_close(&dev);
	close_fd(&container);
	mem_free(nvme.pages, (2 * NVME_MAX_QUEUES + 1) * PAGE);
	nvme.pages = NULL;

	container = expect_good(vfio_container());
	expect(0, vfio_open(&dev, container, NVME));
	expect(0, vfio_bus_master(&dev));
	expect(0, nvme_start(&nvme, &dev, container));
	expect_nvme_works();
}

/* The number of functions that a hot reset would reset, whose groups go to @groups, or -errno. */
static int hot_reset_info(int groups[2])
{
	union {
		struct vfio_pci_hot_reset_info info;
		char space[sizeof(struct vfio_pci_hot_reset_info) +
			   2 * sizeof(struct vfio_pci_dependent_device)];
	} u = { .info.argsz = sizeof(u) };
	unsigned int i;

	if (ioctl(dev.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &u))
		return -errno;
	for (i = 0; i < u.info.count && i < 2; i++)
		groups[i] = (int)u.info.devices[i].group_id;
	return (int)u.info.count;
}

static int hot_reset(const int *group_fds, unsigned int count)
{
	union {
		struct vfio_pci_hot_reset reset;
		char space[sizeof(struct vfio_pci_hot_reset) + 2 * sizeof(int)];
	} u = { .reset = { .argsz = sizeof(u), .count = count } };

	memcpy(u.reset.group_fds, group_fds, count * sizeof(int));
	return ioctl(dev.fd, VFIO_DEVICE_PCI_HOT_RESET, &u) ? -errno : 0;
}

static void hot_reset_of_both(int sibling_container)
{
	int groups[2];

	expect(0, vfio_open(&sibling, sibling_container, FN1));
	expect(0, edu_identify(sibling.bar0));
	expect(2, hot_reset_info(groups));
	assert_int_equal(groups[0], pci_group(FN0));
	assert_int_equal(groups[1], pci_group(FN1));

	/* The owner of one may not reset the other. */
	expect_nvme_works();
	expect(-EINVAL, hot_reset(&dev.group, 1));
	expect_nvme_works();

	expect(0, hot_reset((int[]){ dev.group, sibling.group }, 2));
	assert_false(nvme_is_ready(&nvme));
	expect(0, edu_identify(sibling.bar0));
	restart_nvme();
	expect_nvme_works();
}

static void hot_reset_in_one_container(void **state)
{
	(void)state;
	expect(0, pci_take(FN1));
	hot_reset_of_both(container);
}

static void hot_reset_in_two_containers(void **state)
{
	(void)state;
	expect(0, pci_take(FN1));
	container2 = expect_good(vfio_container());
	hot_reset_of_both(container2);
}

/* Claimed by nobody, the sibling is not in any group. */
static void hot_reset_beside_unclaimed(void **state)
{
	int groups[2];

	(void)state;
	expect(-ENOENT, pci_group(FN1));
	expect(-EPERM, hot_reset_info(groups));
	expect(-EINVAL, hot_reset(&dev.group, 1));
	expect_nvme_works();
}

/* Claimed, and nobody has it open. */
static void hot_reset_beside_unused(void **state)
{
	int groups[2], group;

	(void)state;
	expect(0, pci_take(FN1));
	expect(2, hot_reset_info(groups));
	group = expect_good(vfio_group(FN1));
	expect(-EINVAL, hot_reset(&dev.group, 1));
	expect_nvme_works();
	expect(0, hot_reset((int[]){ dev.group, group }, 2));
	close_fd(&group);
	restart_nvme();
	expect_nvme_works();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(function_reset, open_single, close_all),
		cmocka_unit_test_setup_teardown(close_resets, open_single, close_all),
		cmocka_unit_test_setup_teardown(hot_reset_in_one_container, open_function_0,
						close_all),
		cmocka_unit_test_setup_teardown(hot_reset_in_two_containers, open_function_0,
						close_all),
		cmocka_unit_test_setup_teardown(hot_reset_beside_unclaimed, open_function_0,
						close_all),
		cmocka_unit_test_setup_teardown(hot_reset_beside_unused, open_function_0,
						close_all),
	};

	return run_group(tests, begin, end);
}
