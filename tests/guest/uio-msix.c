// SPDX-License-Identifier: MIT
/*
 * Features that programs on uio_pci_generic asked for, on one function that has all of them, an
 * e1000e: every kind of interrupt, one after the other, and every BAR, including the one of I/O
 * ports. doc/uio-msix.md has the rest.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices.h"
#include "fixture.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

/* 82574 data sheet, 10.2; in words of the registers' BAR. */
#define ICR	(0x00c0 / 4)	/* reading clears it */
#define ICS	(0x00c8 / 4)
#define IMS	(0x00d0 / 4)
#define IMC	(0x00d8 / 4)
#define IVAR	(0x00e4 / 4)
#define CAUSE_OTHER	(1 << 24)
#define IVAR_OTHER(v)	((uint32_t)(8 | (v)) << 16)

/* 10.1: how registers are reached through the BAR in I/O ports. */
#define IOADDR	0
#define IODATA	4

#define VECTORS 5

static const char *const devices[] = { NIC, NULL };
static struct vfio_dev dev = VFIO_DEV_INIT;
static int container = -1, events[VECTORS] = { -1, -1, -1, -1, -1 };

static int open_device(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < VECTORS; i++)
		events[i] = event_new();
	return vfio_open_alone(&dev, &container, NIC);
}

static int close_device(void **state)
{
	unsigned int i;

	(void)state;
	vfio_close(&dev);
	close_fd(&container);
	for (i = 0; i < VECTORS; i++)
		close_fd(&events[i]);
	return 0;
}

/* QEMU 7.2 ends itself when the timer that this starts is due in another mode. */
static void raise_cause(volatile uint32_t *regs, uint32_t cause)
{
	regs[IMS] = cause;
	regs[ICS] = cause;
	usleep(100000);
}

static void lower(volatile uint32_t *regs)
{
	regs[IMC] = ~0U;
	(void)regs[ICR];
}

/* @vector of a kind of interrupt is bound to an eventfd, the device raises it, and no other comes. */
static void delivers(unsigned int index, unsigned int count, unsigned int vector)
{
	volatile uint32_t *regs = dev.bar0;
	unsigned int i;

	expect((int)count, vfio_irq_count(&dev, index));
	expect(0, vfio_irq_enable(&dev, index, events, count));
	lower(regs);
	for (i = 0; i < count; i++)
		event_take(events[i]);
	raise_cause(regs, CAUSE_OTHER);
	/* Once, or as in QEMU 10 for each of the two writes. */
	assert_true(event_wait(events[vector]) >= 1);
	lower(regs);
	for (i = 0; i < count; i++)
		if (i != vector)
			assert_int_equal(event_take(events[i]), 0);
	expect(0, vfio_irq_disable(&dev, index));
	raise_cause(regs, CAUSE_OTHER);
	lower(regs);
	assert_int_equal(event_take(events[vector]), 0);
}

/* As the kernel tells which kind is chosen: "msi", "msix", or nothing. */
static const char *chosen(void)
{
	static char kind[16];
	char path[256];

	if (find_path("/sys/bus/pci/devices/" NIC "/msi_irqs/*", path, sizeof(path)) ||
	    read_text(path, kind, sizeof(kind)) < 0)
		return "";
	return kind;
}

static void chooses_each_kind_in_turn(void **state)
{
	static const unsigned int order[] = {
		VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_INTX_IRQ_INDEX,
	};
	static const char *const kinds[] = {
		[VFIO_PCI_INTX_IRQ_INDEX] = "",
		[VFIO_PCI_MSI_IRQ_INDEX] = "msi",
		[VFIO_PCI_MSIX_IRQ_INDEX] = "msix",
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		unsigned int count = order[i] == VFIO_PCI_MSIX_IRQ_INDEX ? VECTORS : 1;

		expect(0, vfio_irq_enable(&dev, order[i], events, count));
		assert_string_equal(chosen(), kinds[order[i]]);
		/* one at a time */
		expect(-EINVAL, vfio_irq_enable(&dev, order[i] == VFIO_PCI_INTX_IRQ_INDEX ?
						VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_INTX_IRQ_INDEX, events, 1));
		expect(0, vfio_irq_disable(&dev, order[i]));
		((volatile uint32_t *)dev.bar0)[IVAR] = IVAR_OTHER(3);
		delivers(order[i], count, order[i] == VFIO_PCI_MSIX_IRQ_INDEX ? 3 : 0);
	}
}

static void reaches_every_bar(void **state)
{
	struct vfio_region_info info = { .argsz = sizeof(info) };
	uint64_t start, size;
	unsigned int seen = 0;
	void *bar;
	size_t mapped;

	(void)state;
	for (info.index = 0; info.index <= VFIO_PCI_BAR5_REGION_INDEX; info.index++) {
		if (pci_bar(NIC, info.index, &start, &size))
			continue;
		seen++;
		expect(0, ioctl(dev.fd, VFIO_DEVICE_GET_REGION_INFO, &info));
		assert_int_equal(info.size, size);
		assert_true(info.flags & VFIO_REGION_INFO_FLAG_READ && info.flags & VFIO_REGION_INFO_FLAG_WRITE);
		assert_int_equal(pread(dev.fd, &start, 4, (off_t)info.offset), 4);
		if (!(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
			continue;
		expect(0, vfio_map_bar(&dev, info.index, &bar, &mapped));
		/* no register that reading changes */
		if (info.index == 1)
			assert_memory_equal(bar, &start, 4);
		munmap(bar, mapped);
	}
	assert_int_equal(seen, 4);
}

static void reaches_io_ports(void **state)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_BAR2_REGION_INDEX };
	volatile uint32_t *regs = dev.bar0;
	uint32_t reg = IVAR * 4, value;

	(void)state;
	expect(0, ioctl(dev.fd, VFIO_DEVICE_GET_REGION_INFO, &info));
	assert_int_equal(info.size, 32);
	assert_int_equal(pwrite(dev.fd, &reg, 4, (off_t)info.offset + IOADDR), 4);
	regs[IVAR] = IVAR_OTHER(2);
	assert_int_equal(pread(dev.fd, &value, 4, (off_t)info.offset + IODATA), 4);
	assert_int_equal(value, IVAR_OTHER(2));
	value = IVAR_OTHER(4);
	assert_int_equal(pwrite(dev.fd, &value, 4, (off_t)info.offset + IODATA), 4);
	assert_int_equal(regs[IVAR], IVAR_OTHER(4));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_device, close_device)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(chooses_each_kind_in_turn),
		TEST(reaches_every_bar),
		TEST(reaches_io_ports),
	};

	return run_with(devices, tests);
}
