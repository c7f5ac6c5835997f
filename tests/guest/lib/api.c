// SPDX-License-Identifier: MIT
#include "api.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "caps.h"
#include "cdev.h"
#include "devices.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"

#define NOIOMMU "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
#define MAX_TESTS 256

struct flatiommu *flat;
const char *api_backend;

static const char *const *api_devices;
static const char *ready;	/* the backend that the devices are ready for */
static long pins_before;
static int fds_before;
static char unsafe_before[8];

struct run {
	const char *backend;
	char name[96];
};

static struct run runs[MAX_TESTS];

static bool on_iommu(void)
{
	const char *machine = getenv("FLATIOMMU_MACHINE");

	return machine && (!strcmp(machine, "intel-iommu") || !strcmp(machine, "virt-smmu"));
}

bool api_is(const char *part)
{
	return strstr(api_backend, part);
}

bool api_isolated(void)
{
	return !strncmp(api_backend, "iommu-", strlen("iommu-"));
}

/* Linux's own no-IOMMU mode: nothing is claimed. */
static bool is_native(const char *backend)
{
	return !strncmp(backend, "noiommu-", strlen("noiommu-"));
}

struct attempt {
	const char *bdf;
	int ret;
};

/* What was just plugged in is in sysfs before it can be bound. */
static bool is_ready_to_bind(void *arg)
{
	struct attempt *a = arg;

	a->ret = !strncmp(api_backend, "flatiommu-", strlen("flatiommu-")) ? pci_take(a->bdf) :
		 pci_bind(a->bdf, "vfio-pci");
	/* Its override may have had it bound meanwhile. */
	if (a->ret == -EBUSY && !strcmp(pci_driver(a->bdf), "vfio-pci"))
		a->ret = 0;
	return a->ret != -ENODEV;
}

int api_bind(const char *bdf)
{
	struct attempt a = { .bdf = bdf };

	wait_until(is_ready_to_bind, &a);
	return a.ret;
}

static int bind_all(void)
{
	const char *const *device;
	int ret = 0;

	for (device = api_devices; *device && !ret; device++)
		ret = api_bind(*device);
	return ret;
}

static int unbind_all(void)
{
	const char *const *device;
	int ret = 0, err;

	for (device = api_devices; *device; device++) {
		err = pci_unbind(*device);
		if (err)
			ret = err;
		else
			pci_bind_default(*device);
	}
	return ret;
}

static int leave(void)
{
	int ret = 0;

	if (!ready)
		return 0;
	if (is_native(ready)) {
		ret = unbind_all();
		if (write_text(NOIOMMU, "0") || flat_unload())
			ret = -1;
	} else {
		ret = on_iommu() ? unbind_all() : flat_end(api_devices);
	}
	if (cdev_is_there())
		write_text(IOMMUFD_UNSAFE, unsafe_before);
	ready = NULL;
	return ret;
}

static int prepare(const char *backend)
{
	int ret = leave();

	if (ret)
		return ret;
	module_probe("vfio_iommu_type1");
	if (module_probe("vfio-pci"))
		return -ENOENT;
	if (cdev_is_there() && (read_text(IOMMUFD_UNSAFE, unsafe_before, sizeof(unsafe_before)) < 0 ||
				write_text(IOMMUFD_UNSAFE, "1")))
		return -EIO;
	ready = backend;
	if (is_native(backend)) {
		ret = module_load(MODULE_FILE, "auto=N");
		if (!ret)
			ret = write_text(NOIOMMU, "1");
		return ret ? ret : bind_all();
	}
	return on_iommu() ? bind_all() : flat_begin(api_devices);
}

static int begin(void **state)
{
	const struct run *run = *state;
	int ret = 0;

	api_backend = run->backend;
	if (!ready || strcmp(ready, run->backend))
		ret = prepare(run->backend);
	if (ret) {
		print_error("cannot set up %s: %s\n", run->backend, errno_name(ret));
		return ret;
	}
	setenv("FLATIOMMU_BACKEND", run->backend, 1);
	pins_before = pins();
	fds_before = count_entries("/proc/self/fd");
	return flatiommu_open(&flat);
}

static bool pins_are_back(void *arg)
{
	(void)arg;
	return pins() == pins_before;
}

static int end(void **state)
{
	(void)state;
	flatiommu_close(flat);
	flat = NULL;
	unsetenv("FLATIOMMU_MAP");
	huge_pages(0);
	if (!wait_until(pins_are_back, NULL)) {
		print_error("pins: %ld before, %ld after\n", pins_before, pins());
		return -1;
	}
	if (count_entries("/proc/self/fd") != fds_before) {
		print_error("file descriptors: %d before, %d after\n", fds_before,
			    count_entries("/proc/self/fd"));
		return -1;
	}
	return 0;
}

static int end_all(void **state)
{
	(void)state;
	return leave();
}

static size_t find_backends(const char **backends)
{
	bool cdev = cdev_is_there(), groups = !access("/dev/vfio/vfio", F_OK);
	size_t count = 0;

	if (groups)
		backends[count++] = on_iommu() ? "iommu-type1" : "flatiommu-type1";
	if (cdev)
		backends[count++] = on_iommu() ? "iommu-iommufd" : "flatiommu-iommufd";
	if (!on_iommu() && groups && !access(NOIOMMU, F_OK))
		backends[count++] = "noiommu-group";
	if (!on_iommu() && noiommu_cdev_is_there())
		backends[count++] = "noiommu-iommufd";
	return count;
}

int api_run(const struct api_test *tests, size_t count, const char *const *devices)
{
	const char *backends[8];
	struct CMUnitTest units[MAX_TESTS];
	size_t nr_backends, b, i, n = 0;

	module_probe("vfio_iommu_type1");
	nr_backends = find_backends(backends);
	api_devices = devices;
	for (b = 0; b < nr_backends; b++) {
		for (i = 0; i < count; i++, n++) {
			if (n == MAX_TESTS)
				abort();
			runs[n].backend = backends[b];
			snprintf(runs[n].name, sizeof(runs[n].name), "%s on %s", tests[i].name, backends[b]);
			units[n] = (struct CMUnitTest){ runs[n].name, tests[i].fn, begin, end, &runs[n] };
		}
	}
	test_begin();
	return _cmocka_run_group_tests("library", units, n, NULL, end_all);
}

struct flatiommu_device *api_open(const char *bdf)
{
	struct flatiommu_device *device = NULL;
	int ret = flatiommu_device_open(flat, bdf, &device);

	if (ret)
		print_error("%s\n", flatiommu_reason(flat));
	assert_int_equal(ret, 0);
	return device;
}

struct flatiommu_device *api_open_edu(const char *bdf, void **regs)
{
	struct flatiommu_device *device = api_open(bdf);

	expect(0, flatiommu_bar_map(device, 0, 0, 0, 0, regs));
	expect(0, flatiommu_bus_master(device, true));
	return device;
}

int api_exceed_memlock(void *options)
{
	const struct rlimit limit = { 256 << 10, 256 << 10 };
	struct flatiommu_device *device;
	struct flatiommu_dma *dma = NULL;
	struct flatiommu *mine;
	int ret;

	ret = flatiommu_open(&mine);
	if (!ret)
		ret = flatiommu_device_open(mine, EDU, &device);
	if (!ret)
		ret = setrlimit(RLIMIT_MEMLOCK, &limit) ? -errno : drop_capability(CAP_IPC_LOCK);
	if (!ret)
		ret = flatiommu_dma_alloc(mine, 64 << 10, options, &dma);
	if (ret)
		return ret;
	ret = flatiommu_dma_alloc(mine, 512 << 10, options, &dma);
	if (ret == -ENOMEM && !strstr(flatiommu_reason(mine), "RLIMIT_MEMLOCK (262144 bytes)"))
		ret = -EBADMSG;
	if (ret == -ENOMEM) {
		/* What was refused does not count. */
		ret = flatiommu_dma_alloc(mine, 64 << 10, options, &dma);
		if (!ret)
			ret = -ENOMEM;
	}
	flatiommu_close(mine);
	return ret;
}

void api_expect_reason(int wanted, const char *word, int result, const char *call, const char *file,
		       int line)
{
	expect_result(wanted, result, call, file, line);
	if (strstr(flatiommu_reason(flat), word))
		return;
	print_error("%s: the reason has no \"%s\": %s\n", call, word, flatiommu_reason(flat));
	_fail(file, line);
}
