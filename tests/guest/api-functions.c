// SPDX-License-Identifier: MIT
/*
 * The library: lists of functions by class, ID and physical function, also while one is being
 * unbound, and a file descriptor that reports functions that come and go.
 */
#include <errno.h>
#include <fcntl.h>
#include <flatiommu.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "caps.h"
#include "devices.h"
#include "fixture.h"
#include "hotplug.h"
#include "sysfs.h"
#include "test.h"

#define PCI "/sys/bus/pci/devices/"
#define NULL_DEVICE "/sys/class/mem/null/uevent"
#define EVENTS 3000	/* more than a socket has room for */

static const char *const devices[] = { EDU, TESTDEV, NULL };

static struct flatiommu_function_info *functions;
static size_t count;
static int monitor = -1;
static struct flatiommu *flat;

static int end_each(void **state)
{
	(void)state;
	flatiommu_function_list_free(functions);
	functions = NULL;
	if (monitor >= 0)
		close(monitor);
	monitor = -1;
	return 0;
}

static void list(const struct flatiommu_match *match)
{
	flatiommu_function_list_free(functions);
	functions = NULL;
	expect(0, flatiommu_function_list(match, &functions, &count));
}

/* The functions that were found have these names, which a NULL ends. */
static void are(const char *const *names)
{
	size_t i;

	for (i = 0; names[i]; i++) {
		assert_true(i < count);
		assert_string_equal(functions[i].name, names[i]);
	}
	assert_int_equal(count, i);
}

static void tells_of_one(void **state)
{
	struct flatiommu_function_info info;

	(void)state;
	memset(&info, 0xff, sizeof(info));
	/* As an address is written elsewhere, too. */
	expect(0, flatiommu_function_get_info("00:06.0", &info));
	assert_string_equal(info.name, EDU);
	assert_string_equal(info.driver, "vfio-pci");
	assert_string_equal(info.pf, "");
	assert_int_equal(info.class_code, 0x00ff00);
	assert_int_equal(info.vendor, 0x1234);
	assert_int_equal(info.device, 0x11e8);
	assert_int_equal(info.subsystem_vendor, 0x1af4);
	assert_int_equal(info.subsystem_device, 0x1100);
	assert_int_equal(info.flags, FLATIOMMU_FUNCTION_CLAIMED);
	assert_int_equal(info.group, pci_group(EDU));
	assert_int_equal(info.node, read_number(PCI EDU "/numa_node"));
	assert_int_equal(info.nr_vfs, 0);
	assert_true(!info.reserved_32 && !info.reserved[0] && !info.reserved[7]);

	expect(0, flatiommu_function_get_info(NIC, &info));
	assert_string_equal(info.driver, pci_driver(NIC));
	assert_int_equal(info.class_code, 0x020000);
	assert_int_equal(info.flags, 0);
	assert_int_equal(info.group, -1);

	expect(-ENODEV, flatiommu_function_get_info("00:06.7", &info));
	expect(-EINVAL, flatiommu_function_get_info("edu", &info));
	expect(-EINVAL, flatiommu_function_get_info(NULL, &info));
	expect(-EINVAL, flatiommu_function_get_info(EDU, NULL));
	assert_string_equal(info.name, NIC);
}

static void lists(void **state)
{
	static const char *const nvmes[] = { NVME, SRIOV_PF, FN0, HOT_DEV, NULL };
	static const char *const edus[] = { EDU, FN1, NULL };
	static const char *const none[] = { NULL };
	size_t i;

	(void)state;
	list(NULL);
	assert_int_equal(count, count_entries("/sys/bus/pci/devices"));
	for (i = 1; i < count; i++)
		assert_true(strcmp(functions[i - 1].name, functions[i].name) < 0);
	list(&(struct flatiommu_match){ .class_code = 0x010802, .class_mask = 0xffffff });
	are(nvmes);
	list(&(struct flatiommu_match){ .class_code = 0x0108ff, .class_mask = 0xffff00 });
	are(nvmes);
	list(&(struct flatiommu_match){ .vendor = 0x1234, .device = 0x11e8 });
	are(edus);
	list(&(struct flatiommu_match){ .vendor = 0x1234, .device = 0x11e8,
					.flags = FLATIOMMU_FUNCTION_CLAIMED });
	are((const char *const[]){ EDU, NULL });
	list(&(struct flatiommu_match){ .driver = "vfio-pci" });
	are(devices);
	list(&(struct flatiommu_match){ .flags = FLATIOMMU_FUNCTION_ISOLATED });
	are(none);
	list(&(struct flatiommu_match){ .pf = EDU });
	are(none);

	expect(-EINVAL, flatiommu_function_list(&(struct flatiommu_match){ .pf = "edu" },
						&functions, &count));
	expect(-EOPNOTSUPP, flatiommu_function_list(&(struct flatiommu_match){ .flags = 0x10 },
						    &functions, &count));
	expect(-EOPNOTSUPP, flatiommu_function_list(&(struct flatiommu_match){ .reserved = { 1 } },
						    &functions, &count));
	expect(-EINVAL, flatiommu_function_list(NULL, NULL, &count));
	expect(-EINVAL, flatiommu_function_list(NULL, &functions, NULL));
}

static void relates_virtual_functions(void **state)
{
	struct flatiommu_function_info pf;
	char nvme[] = SRIOV_PF;

	(void)state;
	assert_true(wait_until(nvme_is_live, nvme));
	expect(0, write_text(PCI SRIOV_PF "/sriov_drivers_autoprobe", "0"));
	expect(0, write_text(PCI SRIOV_PF "/sriov_numvfs", "1"));
	list(&(struct flatiommu_match){ .pf = "01:00.0" });
	flatiommu_function_get_info(SRIOV_PF, &pf);
	expect(0, write_text(PCI SRIOV_PF "/sriov_numvfs", "0"));
	expect(0, write_text(PCI SRIOV_PF "/sriov_drivers_autoprobe", "1"));

	assert_int_equal(pf.nr_vfs, 1);
	assert_int_equal(pf.flags, 0);
	are((const char *const[]){ SRIOV_VF0, NULL });
	assert_string_equal(functions[0].pf, SRIOV_PF);
	assert_int_equal(functions[0].flags, FLATIOMMU_FUNCTION_VF);
	list(&(struct flatiommu_match){ .flags = FLATIOMMU_FUNCTION_VF });
	assert_int_equal(count, 0);
}

static int list_in_time(void *arg)
{
	struct flatiommu_function_info info, *all = NULL;
	size_t n;
	int err;

	(void)arg;
	alarm(20);
	err = flatiommu_function_get_info(EDU, &info);
	if (!err)
		err = flatiommu_function_list(NULL, &all, &n);
	flatiommu_function_list_free(all);
	return err;
}

/* The child's copies of the device's files would keep it waiting for itself. */
static int unbind(void *arg)
{
	(void)arg;
	flatiommu_close(flat);
	return pci_unbind(EDU);
}

/* An unbind holds device_lock until the program has closed the function. */
static void waits_for_nobody(void **state)
{
	const struct timespec moment = { .tv_sec = 1 };
	struct flatiommu_device *device;
	int listed;
	pid_t pid;

	(void)state;
	expect(0, flatiommu_open(&flat));
	expect(0, flatiommu_device_open(flat, EDU, &device));
	pid = child_begin(unbind, NULL);
	nanosleep(&moment, NULL);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	listed = in_child(list_in_time, NULL);
	flatiommu_close(flat);
	expect(0, child_end(pid));
	expect(0, pci_bind(EDU, "vfio-pci"));
	expect(0, listed);
}

/* The next event of the function. */
static struct flatiommu_monitor_event next_of(const char *bdf)
{
	struct pollfd wait = { .fd = monitor, .events = POLLIN };
	struct flatiommu_monitor_event event;
	int err;

	for (;;) {
		err = flatiommu_monitor_read(monitor, &event);
		if (!err && !strcmp(event.name, bdf))
			return event;
		if (err && err != -EAGAIN)
			expect(0, err);
		if (err)
			assert_int_equal(poll(&wait, 1, 60000), 1);
	}
}

static void comes(uint32_t kind, const char *bdf, const char *driver)
{
	struct flatiommu_monitor_event event = next_of(bdf);

	assert_int_equal(event.kind, kind);
	assert_string_equal(event.driver, driver);
	assert_true(!event.reserved_32 && !event.reserved[0] && !event.reserved[3]);
}

static void reports_binds(void **state)
{
	struct flatiommu_monitor_event event;

	(void)state;
	monitor = expect_good(flatiommu_monitor_open());
	assert_true(fcntl(monitor, F_GETFD) & FD_CLOEXEC);
	expect(0, pci_unbind(EDU));
	comes(FLATIOMMU_MONITOR_UNBOUND, EDU, "");
	expect(0, pci_bind(EDU, "vfio-pci"));
	event = next_of(EDU);
	assert_int_equal(event.kind, FLATIOMMU_MONITOR_BOUND);
	assert_string_equal(event.driver, "vfio-pci");
	assert_int_equal(event.class_code, 0x00ff00);
	assert_int_equal(event.vendor, 0x1234);
	assert_int_equal(event.device, 0x11e8);
	/* It does not wait. */
	expect(-EAGAIN, flatiommu_monitor_read(monitor, &event));
	expect(-EINVAL, flatiommu_monitor_read(monitor, NULL));
	expect(-EBADF, flatiommu_monitor_read(-1, &event));
}

static void reports_hot_plug(void **state)
{
	char nvme[] = HOT_DEV;

	(void)state;
	assert_true(wait_until(nvme_is_live, nvme));
	monitor = expect_good(flatiommu_monitor_open());
	expect(0, hot_unplug());
	comes(FLATIOMMU_MONITOR_UNBOUND, HOT_DEV, "");
	comes(FLATIOMMU_MONITOR_REMOVED, HOT_DEV, "");
	assert_true(wait_until(hot_is_gone, NULL));
	assert_true(wait_until(hot_plug, NULL));
	comes(FLATIOMMU_MONITOR_ADDED, HOT_DEV, "");
	comes(FLATIOMMU_MONITOR_BOUND, HOT_DEV, "nvme");
	assert_true(wait_until(nvme_is_live, nvme));
}

/* Udev or a person may trigger an event, and nothing has happened. */
static void reports_what_happens_alone(void **state)
{
	struct pollfd wait = { .events = POLLIN };
	struct flatiommu_monitor_event event;

	(void)state;
	monitor = expect_good(flatiommu_monitor_open());
	expect(0, write_text(PCI EDU "/uevent", "add"));
	expect(0, write_text(NULL_DEVICE, "add"));
	wait.fd = monitor;
	assert_int_equal(poll(&wait, 1, 60000), 1);
	expect(-EAGAIN, flatiommu_monitor_read(monitor, &event));
}

static void says_what_was_lost(void **state)
{
	struct flatiommu_monitor_event event;
	int i, err;

	(void)state;
	monitor = expect_good(flatiommu_monitor_open());
	for (i = 0; i < EVENTS; i++)
		expect(0, write_text(NULL_DEVICE, "change"));
	expect(-EOVERFLOW, flatiommu_monitor_read(monitor, &event));
	expect(-EAGAIN, flatiommu_monitor_read(monitor, &event));
	/* It goes on. */
	expect(0, pci_unbind(EDU));
	err = pci_bind(EDU, "vfio-pci");
	comes(FLATIOMMU_MONITOR_UNBOUND, EDU, "");
	comes(FLATIOMMU_MONITOR_BOUND, EDU, "vfio-pci");
	expect(0, err);
}

static int use_as_nobody(void *arg)
{
	int err = become_nobody();

	if (!err)
		err = list_in_time(arg);
	if (!err)
		err = flatiommu_monitor_open();
	return err < 0 ? err : 0;
}

static void needs_no_privilege(void **state)
{
	(void)state;
	expect(0, in_child(use_as_nobody, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(tells_of_one, end_each),
		cmocka_unit_test_teardown(lists, end_each),
		cmocka_unit_test_teardown(relates_virtual_functions, end_each),
		cmocka_unit_test_teardown(waits_for_nobody, end_each),
		cmocka_unit_test_teardown(reports_binds, end_each),
		cmocka_unit_test_teardown(reports_hot_plug, end_each),
		cmocka_unit_test_teardown(reports_what_happens_alone, end_each),
		cmocka_unit_test_teardown(says_what_was_lost, end_each),
		cmocka_unit_test_teardown(needs_no_privilege, end_each),
	};

	return run_with(devices, tests);
}
