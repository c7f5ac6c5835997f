// SPDX-License-Identifier: MIT
/*
 * The library: contexts and devices, their opening and closing, and the privileges that they need.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/pci_regs.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "api.h"
#include "cdev.h"
#include "caps.h"
#include "devices.h"
#include "edu.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

/* FN0 and FN1 are one slot. HOT_DEV is taken by the test that unplugs it. */
static const char *const devices[] = { EDU, FN0, FN1, NVME, NULL };

static struct flatiommu_dma *alloc(size_t length)
{
	struct flatiommu_dma *dma = NULL;

	expect(0, flatiommu_dma_alloc(flat, length, NULL, &dma));
	return dma;
}

/* Into the device and out again, into the second half. */
static void copy_through(void *regs, const struct flatiommu_dma *dma)
{
	char *memory = dma->memory;

	fill(memory, EDU_COPY, 7);
	memset(memory + EDU_COPY, 0, EDU_COPY);
	expect(0, edu_load(regs, flatiommu_dma_address(dma, 0), EDU_COPY));
	expect(0, edu_store(regs, flatiommu_dma_address(dma, EDU_COPY), EDU_COPY));
	assert_int_equal(is_filled(memory + EDU_COPY, EDU_COPY, 7), 1);
}

static void tells_what_it_is(void **state)
{
	struct flatiommu_device_info info;
	struct flatiommu_device *device;

	(void)state;
	assert_string_equal(flatiommu_backend(flat), "");
	assert_string_equal(flatiommu_backend_reason(flat), "");
	assert_string_equal(flatiommu_reason(flat), "");
	assert_false(flatiommu_isolated(flat));
	device = api_open(EDU);
	assert_string_equal(flatiommu_backend(flat), api_backend);
	assert_non_null(strstr(flatiommu_backend_reason(flat), api_backend));
	assert_string_equal(flatiommu_device_name(device), EDU);
	assert_int_equal(flatiommu_isolated(flat), api_isolated());
	expect(0, flatiommu_device_get_info(device, &info));
	assert_int_equal(info.group, pci_group(EDU) < 0 ? -1 : pci_group(EDU));
	assert_int_equal(info.flags & FLATIOMMU_DEVICE_CAN_RESET, 0);
	assert_int_equal(info.wc_bars, 0);
	assert_true(flatiommu_device_fd(device) >= 0);
	flatiommu_device_close(device);
	assert_string_equal(flatiommu_backend(flat), "");

	device = api_open(&EDU[strlen("0000:")]);
	assert_string_equal(flatiommu_device_name(device), EDU);
}

/* Without being told to. */
static void chooses_by_itself(void **state)
{
	(void)state;
	unsetenv("FLATIOMMU_BACKEND");
	api_open(EDU);
	assert_int_equal(flatiommu_isolated(flat), api_isolated());
	if (api_is("iommufd"))
		assert_string_equal(flatiommu_backend(flat), api_backend);
}

static void refuses_what_is_no_device(void **state)
{
	static const char *const bad[] = { "", "eth0", "00:06", "00:06.8", "00:20.0", "00:06.0x",
					   "0000:00:06.0 ", "100:00.0", "0000:00:06,0" };
	struct flatiommu_device *device = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		api_refused(-EINVAL, "not a PCI address", flatiommu_device_open(flat, bad[i], &device));
	api_refused(-ENODEV, "no such PCI function", flatiommu_device_open(flat, "0000:3f:1f.7", &device));
	api_refused(-ENXIO, "Cure: flatiommu bind " TESTDEV,
		    flatiommu_device_open(flat, TESTDEV, &device));
	api_refused(-ENXIO, "bound to virtio-pci", flatiommu_device_open(flat, "0000:00:02.0", &device));
	assert_null(device);
}

static void refuses_other_backends(void **state)
{
	struct flatiommu_device *device = NULL;

	(void)state;
	setenv("FLATIOMMU_BACKEND", "magic", 1);
	api_refused(-EINVAL, "no such backend", flatiommu_device_open(flat, EDU, &device));
	/* From 7.3 on what is native has both. */
	if (!api_is("noiommu") || !noiommu_cdev_is_there()) {
		setenv("FLATIOMMU_BACKEND", "noiommu-iommufd", 1);
		api_refused(-EOPNOTSUPP, "noiommu-iommufd is not possible",
			    flatiommu_device_open(flat, EDU, &device));
	}
	setenv("FLATIOMMU_BACKEND", api_isolated() ? "flatiommu-type1" : "iommu-type1", 1);
	api_refused(-EOPNOTSUPP, "is not possible", flatiommu_device_open(flat, EDU, &device));
	/* A directory for a device is no node of it. */
	if (api_is("flatiommu-") && !cdev_is_there()) {
		setenv("FLATIOMMU_BACKEND", "flatiommu-iommufd", 1);
		api_refused(-EOPNOTSUPP, "has no VFIO character device",
			    flatiommu_device_open(flat, EDU, &device));
	}
	if (api_is("flatiommu-") && access("/sys/class/vfio", F_OK)) {
		setenv("FLATIOMMU_BACKEND", "flatiommu-type1", 1);
		api_refused(-EOPNOTSUPP, "has no VFIO groups", flatiommu_device_open(flat, EDU, &device));
	}
	assert_null(device);
	setenv("FLATIOMMU_BACKEND", api_backend, 1);
	api_open(EDU);
}

static void refuses_what_is_in_use(void **state)
{
	struct flatiommu_device *device = NULL;
	struct flatiommu *other;

	(void)state;
	api_open(EDU);
	api_refused(-EBUSY, "open in this context", flatiommu_device_open(flat, EDU, &device));
	expect(0, flatiommu_open(&other));
	expect(-EBUSY, flatiommu_device_open(other, EDU, &device));
	assert_non_null(strstr(flatiommu_reason(other), "this program has it open already"));
	flatiommu_close(other);
	assert_null(device);
}

/* Devices of one context have the same memory. */
static void shares_memory(void **state)
{
	void *regs[2];
	struct flatiommu_dma *dma;

	(void)state;
	api_open_edu(EDU, &regs[0]);
	dma = alloc(2 * EDU_COPY);
	/* The second one comes when there is a buffer already. */
	api_open_edu(FN1, &regs[1]);
	copy_through(regs[0], dma);
	copy_through(regs[1], dma);
	flatiommu_dma_free(dma);
	dma = alloc(2 * EDU_COPY);
	copy_through(regs[1], dma);
	copy_through(regs[0], dma);
}

static void survives_the_first_device(void **state)
{
	struct flatiommu_device *first;
	struct flatiommu_dma *dma;
	void *regs[2];

	(void)state;
	first = api_open_edu(EDU, &regs[0]);
	dma = alloc(2 * EDU_COPY);
	api_open_edu(FN1, &regs[1]);
	flatiommu_device_close(first);
	copy_through(regs[1], dma);
	flatiommu_dma_free(dma);
	dma = alloc(2 * EDU_COPY);
	copy_through(regs[1], dma);
	/* It is free for others, and can come back. */
	api_open_edu(EDU, &regs[0]);
	copy_through(regs[0], dma);
}

/* Buffers keep their addresses, and their pins, from the last device to the next. */
static void buffers_outlive_devices(void **state)
{
	struct flatiommu_device *device;
	struct flatiommu_dma *dma;
	uint64_t address;
	void *regs;
	long before;

	(void)state;
	device = api_open_edu(EDU, &regs);
	dma = alloc(2 * EDU_COPY);
	address = flatiommu_dma_address(dma, 0);
	before = pins();
	flatiommu_device_close(device);
	assert_int_equal(pins(), before);
	device = api_open_edu(EDU, &regs);
	assert_int_equal(flatiommu_dma_address(dma, 0), address);
	copy_through(regs, dma);
	flatiommu_device_close(device);
	device = api_open_edu(FN1, &regs);
	assert_int_equal(flatiommu_dma_address(dma, 0), address);
	copy_through(regs, dma);
	flatiommu_device_close(device);
	/* With the last buffer the last device goes. */
	flatiommu_dma_free(dma);
	expect(0, pci_unbind(FN1));
	expect(0, pci_bind(FN1, "vfio-pci"));
}

static void closing_stops_it(void **state)
{
	struct flatiommu_device *device;
	uint16_t command;
	void *regs;

	(void)state;
	device = api_open_edu(EDU, &regs);
	alloc(PAGE);
	expect(0, flatiommu_config_read16(device, PCI_COMMAND, &command));
	assert_true(command & PCI_COMMAND_MASTER);
	flatiommu_device_close(device);
	device = api_open(EDU);
	expect(0, flatiommu_config_read16(device, PCI_COMMAND, &command));
	assert_false(command & PCI_COMMAND_MASTER);
	assert_true(command & PCI_COMMAND_MEMORY);
}

static void context_closes_all(void **state)
{
	void *regs;

	(void)state;
	api_open_edu(EDU, &regs);
	api_open(NVME);
	alloc(64 * PAGE);
	alloc(PAGE);
	flatiommu_close(flat);
	flat = NULL;
	expect(0, pci_unbind(EDU));
	expect(0, pci_bind(EDU, "vfio-pci"));
	flatiommu_close(NULL);
	flatiommu_device_close(NULL);
	flatiommu_dma_free(NULL);
}

struct attempt {
	int (*change)(void);
	char reason[256];
};

static struct attempt *attempt;

static int open_without_privilege(void *arg)
{
	struct flatiommu_device *device;
	struct flatiommu *mine;
	int ret = attempt->change();

	(void)arg;
	if (!ret)
		ret = flatiommu_open(&mine);
	if (ret)
		return ret;
	ret = flatiommu_device_open(mine, EDU, &device);
	snprintf(attempt->reason, sizeof(attempt->reason), "%.255s", flatiommu_reason(mine));
	flatiommu_close(mine);
	return ret;
}

static int without_rawio(void)
{
	return drop_capability(CAP_SYS_RAWIO);
}

static void needs_privilege(void **state)
{
	(void)state;
	attempt = mem_shared(1);
	attempt->change = become_nobody;
	expect(-EACCES, in_child(open_without_privilege, NULL));
	assert_non_null(strstr(attempt->reason, "as root"));
	attempt->change = without_rawio;
	expect(api_isolated() ? 0 : -EPERM, in_child(open_without_privilege, NULL));
	if (!api_isolated())
		assert_non_null(strstr(attempt->reason, "CAP_SYS_RAWIO"));
	mem_free(attempt, PAGE);
}

/* With the context that its parent opened. */
static int use_context_of_parent(void *arg)
{
	struct flatiommu_device *device;
	int ret = flatiommu_device_open(flat, FN0, &device);

	(void)arg;
	snprintf(attempt->reason, sizeof(attempt->reason), "%.255s", flatiommu_reason(flat));
	return ret;
}

static void is_of_one_process(void **state)
{
	(void)state;
	attempt = mem_shared(1);
	api_open(EDU);
	expect(-ECHILD, in_child(use_context_of_parent, NULL));
	assert_non_null(strstr(attempt->reason, "forked"));
	mem_free(attempt, PAGE);
}

static int run_until_killed(void *arg)
{
	struct flatiommu_dma *dma;
	struct flatiommu *mine;
	struct flatiommu_device *device;
	int *ready = arg, ret;

	ret = flatiommu_open(&mine);
	if (!ret)
		ret = flatiommu_device_open(mine, EDU, &device);
	if (!ret)
		ret = flatiommu_dma_alloc(mine, 1 << 20, NULL, &dma);
	if (!ret)
		ret = flatiommu_bus_master(device, true);
	if (ret)
		return ret;
	*ready = 1;
	for (;;)
		pause();
}

static bool is_ready(void *arg)
{
	return *(volatile int *)arg;
}

static void leaves_nothing_when_killed(void **state)
{
	int *ready = mem_shared(1), i;
	struct flatiommu_device *device;
	uint16_t command;

	(void)state;
	for (i = 0; i < 10; i++) {
		pid_t pid;

		*ready = 0;
		pid = expect_good(child_begin(run_until_killed, ready));
		assert_true(wait_until(is_ready, ready));
		kill(pid, SIGKILL);
		expect(-EINTR, child_end(pid));
		device = api_open(EDU);
		expect(0, flatiommu_config_read16(device, PCI_COMMAND, &command));
		assert_false(command & PCI_COMMAND_MASTER);
		flatiommu_device_close(device);
	}
	mem_free(ready, PAGE);
}

static void resets(void **state)
{
	struct flatiommu_device *nvme = api_open(NVME), *edu = api_open(EDU);
	uint16_t command;

	(void)state;
	expect(0, flatiommu_bus_master(nvme, true));
	expect(0, flatiommu_reset(nvme));
	expect(0, flatiommu_config_read16(nvme, PCI_VENDOR_ID, &command));
	assert_int_equal(command, 0x1b36);
	api_refused(-EOPNOTSUPP, "no reset of its own", flatiommu_reset(edu));
	api_refused(-EOPNOTSUPP, "neither its slot nor its bus", flatiommu_hot_reset(edu));
}

static long held(void)
{
	return read_number(MISC "held");
}

/* Memory that the module holds after it was freed is given back when no device of the context writes to it. */
static void gives_held_memory_back(void **state)
{
	struct flatiommu_device *nvme, *edu;
	struct flatiommu_dma *dma;

	(void)state;
	if (!api_is("flatiommu-"))
		skip_for("nothing is held for this backend");
	expect(0, write_text(PARAMETERS "on_unmap", "hold"));
	nvme = api_open(NVME);
	expect(0, flatiommu_dma_free(alloc(PAGE)));
	assert_true(held() > 0);
	expect(0, flatiommu_quiet(flat));
	assert_int_equal(held(), 0);
	expect(0, flatiommu_dma_free(alloc(PAGE)));
	assert_true(held() > 0);
	expect(0, flatiommu_reset(nvme));
	assert_int_equal(held(), 0);
	/* Another one may go on. */
	edu = api_open(EDU);
	expect(0, flatiommu_dma_free(alloc(PAGE)));
	expect(0, flatiommu_reset(nvme));
	assert_true(held() > 0);
	expect(0, flatiommu_device_close(edu));
	assert_true(held() > 0);
	/* It is kept for the buffer, and was reset. */
	dma = alloc(PAGE);
	expect(1, flatiommu_device_close(nvme));
	assert_int_equal(held(), 0);
	expect(0, flatiommu_dma_free(dma));
	expect(0, write_text(PARAMETERS "on_unmap", "free"));
}

static void resets_a_slot(void **state)
{
	struct flatiommu_device *edu = api_open(FN1);
	struct flatiommu_dma *dma;
	void *regs;
	int ret;

	(void)state;
	ret = flatiommu_hot_reset(edu);
	/* With an IOMMU both functions are in one group, which is ours. */
	if (ret || !api_isolated()) {
		expect(-EPERM, ret);
		assert_non_null(strstr(flatiommu_reason(flat), FN0));
	}
	api_open(FN0);
	expect(0, flatiommu_hot_reset(edu));
	expect(0, flatiommu_bar_map(edu, 0, 0, 0, 0, &regs));
	expect(0, flatiommu_bus_master(edu, true));
	dma = alloc(2 * EDU_COPY);
	copy_through(regs, dma);
}

/* The device's file is all that the other context has. */
static void imports(void **state)
{
	struct flatiommu_device *device = api_open(EDU), *copy = NULL;
	int fd = dup(flatiommu_device_fd(device)), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct flatiommu *other;
	struct flatiommu_dma *dma;
	uint16_t id;
	void *regs;

	(void)state;
	dma = alloc(2 * EDU_COPY);
	api_refused(-EXDEV, "beside devices", flatiommu_device_import(flat, fd, "edu", &copy));
	expect(0, flatiommu_open(&other));
	expect(-EBADF, flatiommu_device_import(other, 999, "edu", &copy));
	expect(-ENOTTY, flatiommu_device_import(other, null, "edu", &copy));
	expect(-ENAMETOOLONG,
	       flatiommu_device_import(other, fd, "a name that is longer than it may be", &copy));
	assert_null(copy);
	close(null);
	expect(0, flatiommu_device_import(other, fd, "edu", &copy));
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_string_equal(flatiommu_backend(other), "imported");
	assert_string_equal(flatiommu_device_name(copy), "edu");
	expect(0, flatiommu_config_read16(copy, PCI_DEVICE_ID, &id));
	assert_int_equal(id, 0x11e8);
	expect(0, flatiommu_bar_map(copy, 0, 0, 0, 0, &regs));
	expect(0, flatiommu_bus_master(copy, true));
	copy_through(regs, dma);
	expect(-ENODEV, flatiommu_dma_alloc(other, PAGE, NULL, &dma));
	expect(-EOPNOTSUPP, flatiommu_hot_reset(copy));
	expect(-EXDEV, flatiommu_device_open(other, NVME, &device));
	flatiommu_close(other);
}

/* What has no IOMMU, and is claimed or not, cannot share memory. */
static void mixes_no_backends(void **state)
{
	struct flatiommu_device *device = NULL;

	(void)state;
	if (!api_is("noiommu"))
		skip_for("it is about what has no IOMMU and is not claimed");
	expect(0, pci_unbind(FN1));
	expect(0, flat_claim(FN1));
	expect(0, pci_bind(FN1, "vfio-pci"));
	api_open(EDU);
	api_refused(-EXDEV, "a context of its own", flatiommu_device_open(flat, FN1, &device));
	assert_null(device);
	expect(0, pci_unbind(FN1));
	expect(0, flat_release(FN1));
	expect(0, pci_bind(FN1, "vfio-pci"));
}

static void *fail_aside(void *arg)
{
	struct flatiommu_device *device;

	if (flatiommu_reason(flat)[0] || flatiommu_device_open(flat, "aside", &device) != -EINVAL)
		return NULL;
	snprintf(arg, 256, "%.255s", flatiommu_reason(flat));
	return arg;
}

/* Each thread has its own. */
static void keeps_reasons_apart(void **state)
{
	struct flatiommu_device *device;
	pthread_t thread;
	char aside[256];
	void *result;

	(void)state;
	expect(-EINVAL, flatiommu_device_open(flat, "here", &device));
	expect(0, pthread_create(&thread, NULL, fail_aside, aside));
	expect(0, pthread_join(thread, &result));
	assert_ptr_equal(result, aside);
	assert_non_null(strstr(aside, "aside"));
	assert_non_null(strstr(flatiommu_reason(flat), "here"));
}

static void log_line(void *arg, enum flatiommu_log level, const char *line)
{
	snprintf(arg, 256, "%d %.252s", level, line);
}

static void tells_a_hook(void **state)
{
	struct flatiommu_device *device;
	unsigned int offset = 0;
	char line[256] = "";

	(void)state;
	flatiommu_set_log(flat, log_line, line);
	expect(-EINVAL, flatiommu_device_open(flat, "nonsense", &device));
	assert_string_equal(line + 2, flatiommu_reason(flat));
	assert_non_null(strstr(line, "nonsense"));
	assert_int_equal(line[0], '0' + FLATIOMMU_LOG_ERROR);
	/* The end of a list is no error. */
	device = api_open(EDU);
	expect(-ENOENT, flatiommu_capability(device, 0x13, &offset));
	assert_string_equal(line + 2, flatiommu_reason(flat));
	assert_int_equal(line[0], '0' + FLATIOMMU_LOG_NOTE);
	flatiommu_set_log(flat, NULL, NULL);
	line[0] = '\0';
	expect(-EINVAL, flatiommu_device_open(flat, "more", &device));
	assert_string_equal(line, "");
}

int main(void)
{
	const struct api_test tests[] = {
		API_TEST(tells_what_it_is),
		API_TEST(chooses_by_itself),
		API_TEST(refuses_what_is_no_device),
		API_TEST(refuses_other_backends),
		API_TEST(refuses_what_is_in_use),
		API_TEST(shares_memory),
		API_TEST(survives_the_first_device),
		API_TEST(buffers_outlive_devices),
		API_TEST(closing_stops_it),
		API_TEST(context_closes_all),
		API_TEST(needs_privilege),
		API_TEST(is_of_one_process),
		API_TEST(leaves_nothing_when_killed),
		API_TEST(resets),
		API_TEST(gives_held_memory_back),
		API_TEST(resets_a_slot),
		API_TEST(imports),
		API_TEST(mixes_no_backends),
		API_TEST(keeps_reasons_apart),
		API_TEST(tells_a_hook),
	};

	return api_run(tests, ARRAY_SIZE(tests), devices);
}
