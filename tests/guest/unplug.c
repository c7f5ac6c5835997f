// SPDX-License-Identifier: MIT
/* A device is unplugged while a program has it open and running; another one is plugged in. */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <unistd.h>

#include "devices.h"
#include "hotplug.h"
#include "kmsg.h"
#include "mem.h"
#include "nvme.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

static struct vfio_dev dev = VFIO_DEV_INIT;
static struct nvme nvme;
static int container = -1, request = -1;
static long pins_before;

static bool has_driver(void *arg)
{
	return !strcmp(pci_driver(HOT_DEV), arg);
}

static int begin(void **state)
{
	(void)state;
	pins_before = pins();
	return flat_load();
}

static void close_all(void)
{
	vfio_close(&dev);
	close_fd(&container);
	close_fd(&request);
	/* The device's, which may be gone: not nvme_stop(). */
	mem_free(nvme.pages, (2 * NVME_MAX_QUEUES + 1) * PAGE);
	nvme.pages = NULL;
}

static int end(void **state)
{
	(void)state;
	close_all();
	if (!pci_is_there(HOT_DEV) && (!wait_until(hot_plug, NULL) || !wait_until(hot_is_there, NULL)))
		return -1;
	if (pci_give_back(HOT_DEV) || !wait_until(has_driver, "nvme"))
		return -1;
	return module_is_loaded("flatiommu") ? flat_unload() : 0;
}

static void open_and_run(void)
{
	expect(0, pci_take(HOT_DEV));
	container = expect_good(vfio_container());
	expect(0, vfio_open(&dev, container, HOT_DEV));
	request = expect_good(event_new());
	expect(0, vfio_irq_enable(&dev, VFIO_PCI_REQ_IRQ_INDEX, &request, 1));
	expect(0, nvme_start(&nvme, &dev, container));
	expect(0, nvme_identify(&nvme, NVME_CNS_CONTROLLER));
}

static void program_is_told(void **state)
{
	(void)state;
	open_and_run();
	assert_int_equal(event_take(request), 0);
	expect(0, log_mark());
	expect(0, hot_unplug());
	assert_int_not_equal(event_wait(request), 0);
	/* As long as it is open, it is there and claimed. */
	assert_true(pci_is_there(HOT_DEV));
	expect_good(pci_group(HOT_DEV));
	assert_int_equal(log_count("released"), 0);
	expect(0, nvme_identify(&nvme, NVME_CNS_CONTROLLER));
}

static bool log_says(void *arg)
{
	return log_count(arg);
}

static void device_goes_when_it_is_closed(void **state)
{
	(void)state;
	close_all();
	assert_true(wait_until(log_says, HOT_DEV ": released: it was removed"));
	assert_true(wait_until(hot_is_gone, NULL));
}

/* The last of the group goes after the device, when no lock is held any more. */
static bool group_is_gone(void *arg)
{
	(void)arg;
	return !count_entries("/sys/kernel/iommu_groups");
}

static void nothing_is_left(void **state)
{
	(void)state;
	assert_int_equal(pins(), pins_before);
	assert_true(wait_until(group_is_gone, NULL));
	expect(0, count_entries("/sys/class/iommu"));
	/* The container's node, no group's. */
	expect(1, count_entries("/dev/vfio"));
	expect(-ENODEV, flat_release(HOT_DEV));
	expect(-ENODEV, flat_claim(HOT_DEV));
	expect(0, flat_unload());
	expect(0, flat_load());
}

static void another_can_be_claimed(void **state)
{
	(void)state;
	assert_true(wait_until(hot_plug, NULL));
	assert_true(wait_until(has_driver, "nvme"));
	open_and_run();
	nvme_stop(&nvme);
	close_all();
	expect(0, pci_give_back(HOT_DEV));
	assert_int_equal(pins(), pins_before);
	expect(0, flat_unload());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(program_is_told),
		cmocka_unit_test(device_goes_when_it_is_closed),
		cmocka_unit_test(nothing_is_left),
		cmocka_unit_test(another_can_be_claimed),
	};

	return run_group(tests, begin, end);
}
