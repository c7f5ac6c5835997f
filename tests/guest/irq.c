// SPDX-License-Identifier: MIT
/* INTx, MSI and MSI-X from the device arrive at their eventfds. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "devices.h"
#include "edu.h"
#include "fixture.h"
#include "mem.h"
#include "nvme.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define VECTORS 8	/* of the nvme: one a queue */
#define MAX_EVENTS 8

static const char *const devices[] = { EDU, NVME, NULL };

static struct vfio_dev dev = VFIO_DEV_INIT;
static struct nvme nvme;
static int container = -1, events[MAX_EVENTS];

static int open_device(void **state)
{
	unsigned int i;

	for (i = 0; i < MAX_EVENTS; i++)
		events[i] = event_new();
	return vfio_open_alone(&dev, &container, *state);
}

static int close_device(void **state)
{
	unsigned int i;

	(void)state;
	nvme_stop(&nvme);
	vfio_close(&dev);
	close_fd(&container);
	for (i = 0; i < MAX_EVENTS; i++)
		close_fd(&events[i]);
	return 0;
}

static bool line_is_up(void)
{
	uint16_t status;

	expect(0, vfio_config_read(&dev, PCI_STATUS, &status, sizeof(status)));
	return status & PCI_STATUS_INTERRUPT;
}

static void intx(void **state)
{
	(void)state;
	expect(1, vfio_irq_count(&dev, VFIO_PCI_INTX_IRQ_INDEX));
	expect(0, vfio_irq_enable(&dev, VFIO_PCI_INTX_IRQ_INDEX, events, 1));
	assert_int_equal(event_take(events[0]), 0);

	edu_raise(dev.bar0, 1);
	assert_int_equal(event_wait(events[0]), 1);
	assert_int_equal(edu_reason(dev.bar0), 1);
	edu_acknowledge(dev.bar0, 1);
	assert_false(line_is_up());

	/* It came masked, and stays so until it is told. */
	edu_raise(dev.bar0, 2);
	assert_true(line_is_up());
	assert_int_equal(event_take(events[0]), 0);
	expect(0, vfio_irq_mask(&dev, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK));
	assert_int_equal(event_wait(events[0]), 1);
	edu_acknowledge(dev.bar0, 2);
	expect(0, vfio_irq_mask(&dev, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK));
	assert_int_equal(event_take(events[0]), 0);

	/* Masked by hand. */
	expect(0, vfio_irq_mask(&dev, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_MASK));
	edu_raise(dev.bar0, 4);
	assert_true(line_is_up());
	assert_int_equal(event_take(events[0]), 0);
	expect(0, vfio_irq_mask(&dev, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK));
	assert_int_equal(event_wait(events[0]), 1);
	edu_acknowledge(dev.bar0, 4);
	expect(0, vfio_irq_disable(&dev, VFIO_PCI_INTX_IRQ_INDEX));
}

static void msi(void **state)
{
	uint32_t reason;

	(void)state;
	expect(1, vfio_irq_count(&dev, VFIO_PCI_MSI_IRQ_INDEX));
	expect(0, vfio_irq_enable(&dev, VFIO_PCI_MSI_IRQ_INDEX, events, 1));
	for (reason = 1; reason <= 8; reason <<= 1) {
		assert_int_equal(event_take(events[0]), 0);
		edu_raise(dev.bar0, reason);
		assert_int_equal(event_wait(events[0]), 1);
		assert_int_equal(edu_reason(dev.bar0), reason);
		edu_acknowledge(dev.bar0, reason);
	}
	expect(0, vfio_irq_disable(&dev, VFIO_PCI_MSI_IRQ_INDEX));
}

/* No vector has fired, but those that were waited for. */
static void expect_silence(void)
{
	unsigned int i;

	for (i = 0; i < VECTORS; i++) {
		if (event_take(events[i])) {
			print_error("vector %u has fired\n", i);
			fail();
		}
	}
}

static void msix(void **state)
{
	unsigned int i;

	(void)state;
	expect(VECTORS, vfio_irq_count(&dev, VFIO_PCI_MSIX_IRQ_INDEX));
	expect(0, vfio_irq_enable(&dev, VFIO_PCI_MSIX_IRQ_INDEX, events, VECTORS));
	expect(0, nvme_start(&nvme, &dev, container));
	nvme.event = events[0];
	expect(0, nvme_identify(&nvme, NVME_CNS_CONTROLLER));
	expect(0, nvme_set_queues(&nvme, VECTORS - 1));
	/* The last vector is for the first queue, so that no number is right by chance. */
	for (i = 1; i < VECTORS; i++)
		expect(0, nvme_create_queue(&nvme, i, VECTORS - i));
	expect_silence();
	for (i = 1; i < VECTORS; i++) {
		nvme_submit_flush(&nvme, i);
		assert_int_equal(event_wait(events[VECTORS - i]), 1);
		expect(0, nvme_reap(&nvme, i));
		expect_silence();
	}
	expect(0, vfio_irq_disable(&dev, VFIO_PCI_MSIX_IRQ_INDEX));
}

#define TEST(f, bdf) \
	cmocka_unit_test_prestate_setup_teardown(f, open_device, close_device, (void *)bdf)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(intx, EDU),
		TEST(msi, EDU),
		TEST(msix, NVME),
	};

	return run_with(devices, tests);
}
