// SPDX-License-Identifier: MIT
/* The library: a device that the kernel wants back, and one that vanishes, while in use. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "devices.h"
#include "edu.h"
#include "hotplug.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

static const char *const devices[] = { HOT_DEV, EDU, NULL };

static struct flatiommu_device *device;
static struct flatiommu_dma *dma;
static int request = -1;
static void *regs;

static void use(const char *bdf)
{
	request = expect_good(event_new());
	device = api_open_edu(bdf, &regs);
	expect(0, flatiommu_dma_alloc(flat, 64 * PAGE, NULL, &dma));
	expect(0, flatiommu_irq_enable(device, FLATIOMMU_IRQ_REQUEST, 0, 1, &request));
}

/* The device is closed: it goes, and is plugged in again for the next test. */
static void let_it_go(void)
{
	expect(0, flatiommu_dma_free(dma));
	close_fd(&request);

	assert_true(wait_until(hot_is_gone, NULL));
	assert_true(wait_until(hot_plug, NULL));
	assert_true(wait_until(hot_is_there, NULL));
	if (!strcmp(pci_driver(HOT_DEV), "nvme"))
		assert_true(wait_until(nvme_is_live, HOT_DEV));
	expect(0, api_bind(HOT_DEV));
}

static void is_asked_for(void **state)
{
	uint16_t vendor;

	(void)state;
	use(HOT_DEV);
	expect(0, hot_unplug());
	assert_true(event_wait(request) > 0);
	/* It is there until it is closed. */
	expect(0, flatiommu_config_read16(device, PCI_VENDOR_ID, &vendor));
	assert_int_equal(vendor, 0x1b36);
	/* Its memory holds it. */
	expect(1, flatiommu_device_close(device));
	let_it_go();
}

/* What is closed and kept still says so. */
static void is_asked_for_when_closed(void **state)
{
	(void)state;
	use(HOT_DEV);
	expect(1, flatiommu_device_close(device));
	expect(0, hot_unplug());
	assert_true(event_wait(request) > 0);
	let_it_go();
}

static void vanishes(void **state)
{
	struct flatiommu_dma *more = NULL;
	uint16_t status = 0;
	void *edu;
	int ret;

	(void)state;
	expect(0, edu_plug());
	expect(0, api_bind(EMPTY_DEV));
	use(EMPTY_DEV);
	api_open_edu(EDU, &edu);
	expect(0, edu_identify(regs));
	expect(0, edu_vanish());

	api_refused(-ENODEV, "", flatiommu_bus_master(device, true));
	ret = flatiommu_config_read16(device, PCI_STATUS, &status);
	assert_true(ret == -EIO || ret == -ENODEV || (!ret && status == UINT16_MAX));
	/* Whatever it answers, the program lives. */
	(void)flatiommu_read32(regs);
	/* The memory is still the program's, and the other device's. */
	expect(0, flatiommu_dma_alloc(flat, PAGE, NULL, &more));
	flatiommu_dma_free(more);
	flatiommu_device_close(device);
	fill(dma->memory, EDU_COPY, 3);
	expect(0, edu_load(edu, flatiommu_dma_address(dma, 0), EDU_COPY));
	expect(0, edu_store(edu, flatiommu_dma_address(dma, PAGE), EDU_COPY));
	assert_memory_equal(dma->memory, (char *)dma->memory + PAGE, EDU_COPY);
	close_fd(&request);
	expect(0, edu_forget());
}

int main(void)
{
	const struct api_test tests[] = {
		API_TEST(is_asked_for),
		API_TEST(is_asked_for_when_closed),
		API_TEST(vanishes),
	};

	return api_run(tests, ARRAY_SIZE(tests), devices);
}
