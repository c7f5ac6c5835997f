// SPDX-License-Identifier: MIT
/* The library: interrupts as eventfds, and a device that is pulled out. */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "devices.h"
#include "edu.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define VECTORS 8	/* of the nvme's MSI-X */

static const char *const devices[] = { EDU, NVME, NULL };

static int events[VECTORS];

static void make_events(void)
{
	unsigned int i;

	for (i = 0; i < VECTORS; i++)
		events[i] = expect_good(event_new());
}

static void close_events(void)
{
	unsigned int i;

	for (i = 0; i < VECTORS; i++)
		close_fd(&events[i]);
}

/* From 7.2 on VFIO has one for functions that are not PCIe, too. */
static int error_vectors(void)
{
	return kernel_is(7, 2) ? 1 : 0;
}

static void counts_vectors(void **state)
{
	struct flatiommu_device *edu = api_open(EDU), *nvme = api_open(NVME);

	(void)state;
	expect(1, flatiommu_irq_vectors(edu, FLATIOMMU_IRQ_INTX));
	expect(1, flatiommu_irq_vectors(edu, FLATIOMMU_IRQ_MSI));
	expect(0, flatiommu_irq_vectors(edu, FLATIOMMU_IRQ_MSIX));
	expect(error_vectors(), flatiommu_irq_vectors(edu, FLATIOMMU_IRQ_ERROR));
	expect(1, flatiommu_irq_vectors(edu, FLATIOMMU_IRQ_REQUEST));
	expect(VECTORS, flatiommu_irq_vectors(nvme, FLATIOMMU_IRQ_MSIX));
	expect(1, flatiommu_irq_vectors(nvme, FLATIOMMU_IRQ_ERROR));
	api_refused(-EINVAL, "no interrupt", flatiommu_irq_vectors(nvme, (enum flatiommu_irq)5));
	api_refused(-EINVAL, "no interrupt", flatiommu_irq_disable(nvme, (enum flatiommu_irq)-1));
}

static void receives_msi(void **state)
{
	struct flatiommu_device *edu;
	uint32_t reason;
	void *regs;

	(void)state;
	make_events();
	edu = api_open_edu(EDU, &regs);
	expect(0, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, events));
	for (reason = 1; reason <= 4; reason <<= 1) {
		edu_raise(regs, reason);
		assert_int_equal(event_wait(events[0]), 1);
		edu_acknowledge(regs, reason);
	}
	/* Another eventfd in the place of the first. */
	expect(0, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, &events[1]));
	edu_raise(regs, 1);
	assert_int_equal(event_wait(events[1]), 1);
	edu_acknowledge(regs, 1);
	assert_int_equal(event_take(events[0]), 0);
	expect(0, flatiommu_irq_disable(edu, FLATIOMMU_IRQ_MSI));
	expect(0, flatiommu_irq_disable(edu, FLATIOMMU_IRQ_MSI));
	close_events();
}

static void receives_intx(void **state)
{
	struct flatiommu_device *edu;
	void *regs;

	(void)state;
	make_events();
	edu = api_open_edu(EDU, &regs);
	api_refused(-ENXIO, "not enabled", flatiommu_irq_unmask(edu, FLATIOMMU_IRQ_INTX));
	expect(0, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_INTX, 0, 1, events));
	edu_raise(regs, 1);
	assert_int_equal(event_wait(events[0]), 1);
	edu_acknowledge(regs, 1);
	/* It came masked, and stays so until it is told. */
	edu_raise(regs, 2);
	assert_int_equal(event_take(events[0]), 0);
	expect(0, flatiommu_irq_unmask(edu, FLATIOMMU_IRQ_INTX));
	assert_int_equal(event_wait(events[0]), 1);
	edu_acknowledge(regs, 2);
	expect(0, flatiommu_irq_unmask(edu, FLATIOMMU_IRQ_INTX));
	/* Masked by hand. */
	expect(0, flatiommu_irq_mask(edu, FLATIOMMU_IRQ_INTX));
	edu_raise(regs, 4);
	assert_int_equal(event_take(events[0]), 0);
	expect(0, flatiommu_irq_unmask(edu, FLATIOMMU_IRQ_INTX));
	assert_int_equal(event_wait(events[0]), 1);
	edu_acknowledge(regs, 4);
	api_refused(-EBUSY, "INTx is enabled", flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, events));
	api_refused(-EOPNOTSUPP, "INTx only", flatiommu_irq_mask(edu, FLATIOMMU_IRQ_MSI));
	api_refused(-EOPNOTSUPP, "INTx only", flatiommu_irq_unmask(edu, FLATIOMMU_IRQ_MSIX));
	/* From one kind to another. */
	expect(0, flatiommu_irq_disable(edu, FLATIOMMU_IRQ_INTX));
	expect(0, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, events));
	edu_raise(regs, 1);
	assert_int_equal(event_wait(events[0]), 1);
	edu_acknowledge(regs, 1);
	close_events();
}

/* May the function assert INTx, by its own register? VFIO shows the program another value. */
static bool may_assert_intx(const char *bdf)
{
	char path[64];
	uint16_t command;
	int config;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	config = expect_good(open(path, O_RDONLY | O_CLOEXEC));
	assert_int_equal(pread(config, &command, sizeof(command), PCI_COMMAND), sizeof(command));
	close(config);
	return !(command & PCI_COMMAND_INTX_DISABLE);
}

/* The line may be shared, so a device asserts it only while its interrupts are handled. */
static void asserts_intx_for_its_handler(void **state)
{
	struct flatiommu_device *edu;
	int none = -1;
	void *regs;

	(void)state;
	make_events();
	edu = api_open_edu(EDU, &regs);
	assert_false(may_assert_intx(EDU));
	expect(0, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_INTX, 0, 1, events));
	assert_true(may_assert_intx(EDU));
	expect(0, flatiommu_irq_disable(edu, FLATIOMMU_IRQ_INTX));
	assert_false(may_assert_intx(EDU));
	expect(0, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_INTX, 0, 1, &none));
	assert_false(may_assert_intx(EDU));
	expect(0, flatiommu_irq_trigger(edu, FLATIOMMU_IRQ_INTX, 0));
	expect(0, flatiommu_irq_disable(edu, FLATIOMMU_IRQ_INTX));
	expect(0, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, events));
	expect(0, flatiommu_irq_disable(edu, FLATIOMMU_IRQ_MSI));
	assert_false(may_assert_intx(EDU));
	close_events();
}

/* Only these vectors have signalled, and once; a bit each. */
static void expect_signals(unsigned int wanted)
{
	unsigned int i;

	for (i = 0; i < VECTORS; i++)
		assert_int_equal(event_take(events[i]), wanted >> i & 1);
}

static void trigger_all(struct flatiommu_device *device, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		expect(0, flatiommu_irq_trigger(device, FLATIOMMU_IRQ_MSIX, i));
}

static void enables_any_subset(void **state)
{
	struct flatiommu_device *nvme = api_open(NVME);
	const int some[] = { -1, 0 };
	int set[2];

	(void)state;
	make_events();
	expect(0, flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 2, 2, &events[2]));
	trigger_all(nvme, 4);
	expect_signals(0x0c);
	/* One that was left out, below the others. */
	expect(0, flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 0, 1, events));
	trigger_all(nvme, 4);
	expect_signals(0x0d);
	/* And one that loses its eventfd. */
	set[0] = some[0];
	set[1] = events[1];
	expect(0, flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 0, 2, set));
	trigger_all(nvme, 4);
	expect_signals(0x0e);
	api_refused(-ENXIO, "vector 4", flatiommu_irq_trigger(nvme, FLATIOMMU_IRQ_MSIX, 4));
	expect(0, flatiommu_irq_disable(nvme, FLATIOMMU_IRQ_MSIX));
	api_refused(-ENXIO, "not enabled", flatiommu_irq_trigger(nvme, FLATIOMMU_IRQ_MSIX, 0));
	expect_signals(0);
	close_events();
}

static void adds_vectors_where_the_kernel_can(void **state)
{
	struct flatiommu_device *nvme = api_open(NVME);
	bool can = kernel_is(6, 5);
	/* The machine's interrupt controller decides, too; on arm64 by the version of its driver. */
#ifdef __x86_64__
	bool depends = api_isolated();
#else
	bool depends = true;
#endif

	(void)state;
	make_events();
	expect(0, flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 0, 2, events));
	if (can && depends) {
		int ret = flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 2, VECTORS - 2, &events[2]);

		assert_true(!ret || ret == -EOPNOTSUPP);
		trigger_all(nvme, ret ? 2 : VECTORS);
		expect_signals(ret ? 0x03 : 0xff);
	} else if (can) {
		expect(0, flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 2, VECTORS - 2, &events[2]));
		trigger_all(nvme, VECTORS);
		expect_signals(0xff);
	} else {
		api_refused(-EOPNOTSUPP, "disable them, and enable 8 at once",
			    flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 2, VECTORS - 2, &events[2]));
		trigger_all(nvme, 2);
		expect_signals(0x03);
		expect(0, flatiommu_irq_disable(nvme, FLATIOMMU_IRQ_MSIX));
		expect(0, flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 0, VECTORS, events));
		trigger_all(nvme, VECTORS);
		expect_signals(0xff);
	}
	close_events();
}

static void refuses_bad_vectors(void **state)
{
	struct flatiommu_device *nvme = api_open(NVME), *edu = api_open(EDU);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), bad = 999;

	(void)state;
	make_events();
	api_refused(-ENXIO, "8 vectors of MSI-X", flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 8, 1, events));
	api_refused(-ENXIO, "not 9 from 0", flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 0, 9, events));
	api_refused(-ENXIO, "", flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 1, UINT32_MAX, events));
	api_refused(-ENXIO, "0 vectors of MSI-X", flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSIX, 0, 1, events));
	api_refused(-ENXIO, "vectors of error", flatiommu_irq_enable(edu, FLATIOMMU_IRQ_ERROR, error_vectors(), 1, events));
	api_refused(-EINVAL, "no vectors", flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 0, 0, events));
	api_refused(-EINVAL, "no eventfds", flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 0, 1, NULL));
	api_refused(-EBADF, "is not an eventfd", flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 0, 1, &bad));
	api_refused(-EBADF, "not an eventfd", flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 0, 1, &null));
	/* Nothing of it is enabled. */
	expect(0, flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_INTX, 0, 1, events));
	close(null);
	close_events();
}

static void signals_errors_and_requests(void **state)
{
	struct flatiommu_device *nvme = api_open(NVME);

	(void)state;
	make_events();
	expect(0, flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_ERROR, 0, 1, &events[0]));
	expect(0, flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_REQUEST, 0, 1, &events[1]));
	expect(0, flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 0, 1, &events[2]));
	expect(0, flatiommu_irq_trigger(nvme, FLATIOMMU_IRQ_ERROR, 0));
	expect_signals(0x01);
	expect(0, flatiommu_irq_trigger(nvme, FLATIOMMU_IRQ_REQUEST, 0));
	expect_signals(0x02);
	expect(0, flatiommu_irq_disable(nvme, FLATIOMMU_IRQ_ERROR));
	api_refused(-ENXIO, "not enabled", flatiommu_irq_trigger(nvme, FLATIOMMU_IRQ_ERROR, 0));
	expect(0, flatiommu_irq_disable(nvme, FLATIOMMU_IRQ_REQUEST));
	expect(0, flatiommu_irq_trigger(nvme, FLATIOMMU_IRQ_MSIX, 0));
	expect_signals(0x04);
	close_events();
}

/* Of an error and a request the kernel knows nothing while they have no eventfd. */
static void has_them_without_eventfds(void **state)
{
	static const enum flatiommu_irq kinds[] = { FLATIOMMU_IRQ_ERROR, FLATIOMMU_IRQ_REQUEST };
	struct flatiommu_device *nvme = api_open(NVME);
	const int none = -1;
	size_t i;

	(void)state;
	make_events();
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		expect(0, flatiommu_irq_enable(nvme, kinds[i], 0, 1, &none));
		api_refused(-ENXIO, "not enabled", flatiommu_irq_trigger(nvme, kinds[i], 0));
		expect(0, flatiommu_irq_disable(nvme, kinds[i]));
		expect(0, flatiommu_irq_enable(nvme, kinds[i], 0, 1, events));
		expect(0, flatiommu_irq_enable(nvme, kinds[i], 0, 1, &none));
		expect(0, flatiommu_irq_disable(nvme, kinds[i]));
	}
	expect_signals(0);
	close_events();
}

/* Who had the device before may have left interrupts enabled: a process that is no more, perhaps. */
static void ends_what_others_enabled(void **state)
{
	struct flatiommu_device *edu = api_open(EDU), *copy = NULL;
	struct flatiommu *other;

	(void)state;
	make_events();
	expect(0, flatiommu_open(&other));
	expect(0, flatiommu_device_import(other, dup(flatiommu_device_fd(edu)), "edu", &copy));
	expect(0, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, events));
	expect(-EBUSY, flatiommu_irq_enable(copy, FLATIOMMU_IRQ_INTX, 0, 1, &events[1]));
	expect(0, flatiommu_irq_disable(copy, FLATIOMMU_IRQ_MSI));
	expect(0, flatiommu_irq_disable(copy, FLATIOMMU_IRQ_MSI));
	expect(0, flatiommu_irq_enable(copy, FLATIOMMU_IRQ_INTX, 0, 1, &events[1]));
	flatiommu_close(other);
	close_events();
}

static void closing_ends_them(void **state)
{
	struct flatiommu_device *edu;
	struct flatiommu_dma *dma;
	void *regs;

	(void)state;
	make_events();
	edu = api_open_edu(EDU, &regs);
	/* With a buffer left the device is kept, silently. */
	expect(0, flatiommu_dma_alloc(flat, PAGE, NULL, &dma));
	expect(0, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, events));
	flatiommu_device_close(edu);
	edu = api_open_edu(EDU, &regs);
	edu_raise(regs, 1);
	edu_acknowledge(regs, 1);
	assert_int_equal(event_take(events[0]), 0);
	expect(0, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_INTX, 0, 1, events));
	edu_raise(regs, 1);
	assert_int_equal(event_wait(events[0]), 1);
	edu_acknowledge(regs, 1);
	close_events();
}

int main(void)
{
	const struct api_test tests[] = {
		API_TEST(counts_vectors),
		API_TEST(receives_msi),
		API_TEST(receives_intx),
		API_TEST(asserts_intx_for_its_handler),
		API_TEST(enables_any_subset),
		API_TEST(adds_vectors_where_the_kernel_can),
		API_TEST(refuses_bad_vectors),
		API_TEST(signals_errors_and_requests),
		API_TEST(has_them_without_eventfds),
		API_TEST(ends_what_others_enabled),
		API_TEST(closing_ends_them),
	};

	return api_run(tests, ARRAY_SIZE(tests), devices);
}
