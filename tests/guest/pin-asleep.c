// SPDX-License-Identifier: MIT
/*
 * Memory pinned for a function that its program has put to sleep through VFIO. The end of the pin
 * clears bus mastering of the sleeping function, too: otherwise DMA would go on when VFIO wakes it
 * up.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices.h"
#include "devnode.h"
#include "fixture.h"
#include "kmsg.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define CLEARED NVME ": bus mastering is cleared"
#define STATUS "/sys/bus/pci/devices/" NVME "/power/runtime_status"

static const char *const devices[] = { NVME, NULL };

static struct vfio_dev dev = VFIO_DEV_INIT;
static int container = -1, flat = -1;
static uint32_t pin;
static char *page;

static int open_all(void **state)
{
	int ret = vfio_open_alone(&dev, &container, NVME);

	(void)state;
	if (ret)
		return ret;
	page = mem_pages(1);
	flat = flat_open();
	return flat < 0 ? flat : flat_pin(flat, NVME, page, PAGE, 0, &pin);
}

static int close_all(void **state)
{
	(void)state;
	vfio_close(&dev);
	close_fd(&container);
	close_fd(&flat);
	mem_free(page, PAGE);
	return 0;
}

/* Where the control register of power management is; 0 where there is none. */
static unsigned int power_control(void)
{
	uint8_t at = 0, header[2];

	expect_good(vfio_config_read(&dev, PCI_CAPABILITY_LIST, &at, 1));
	for (; at; at = header[1]) {
		expect_good(vfio_config_read(&dev, at, header, 2));
		if (header[0] == PCI_CAP_ID_PM)
			return at + PCI_PM_CTRL;
	}
	return 0;
}

static void set_power(uint16_t state)
{
	unsigned int at = power_control();
	uint16_t control;

	assert_int_not_equal(at, 0);
	expect_good(vfio_config_read(&dev, at, &control, 2));
	control = (uint16_t)((control & ~PCI_PM_CTRL_STATE_MASK) | state);
	expect_good(vfio_config_write(&dev, at, &control, 2));
}

static void unpin(void)
{
	expect(0, log_mark());
	expect(0, flat_unpin(flat, pin));
	assert_int_equal(log_count(CLEARED), 1);
}

/* By its register, as a program does that drives it. */
static void in_d3hot(void **state)
{
	(void)state;
	expect(1, vfio_bus_master(&dev));
	set_power(3);
	unpin();
	set_power(0);
	expect(0, vfio_bus_master(&dev));
}

static int low_power(uint32_t feature)
{
	struct vfio_device_feature arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DEVICE_FEATURE_SET | feature,
	};

	return ioctl(dev.fd, VFIO_DEVICE_FEATURE, &arg) ? -errno : 0;
}

static bool is_suspended(void *arg)
{
	char text[16];

	(void)arg;
	return read_text(STATUS, text, sizeof(text)) > 0 && !strcmp(text, "suspended");
}

/* By VFIO's feature, which lets the kernel suspend it. */
static void suspended(void **state)
{
	int ret;

	(void)state;
	if (access(STATUS, R_OK))
		skip_for("this kernel puts no function to sleep");
	expect(1, vfio_bus_master(&dev));
	ret = low_power(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
	if (ret == -ENOTTY)
		skip_for("this kernel has no low power feature");
	expect(0, ret);
	assert_true(wait_until(is_suspended, NULL));
	unpin();
	expect(0, low_power(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT));
	expect(0, vfio_bus_master(&dev));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_d3hot),
		TEST(suspended),
	};

	return run_with(devices, tests);
}
