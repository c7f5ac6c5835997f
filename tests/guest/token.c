// SPDX-License-Identifier: MIT
/*
 * VF tokens: the library opens virtual functions whose physical function is on vfio-pci, in each of
 * VFIO's ways, and explains errors of the kernel.
 */
#include <errno.h>
#include <flatiommu.h>
#include <string.h>
#include <unistd.h>

#include "cdev.h"
#include "devices.h"
#include "sysfs.h"
#include "test.h"

#define PF_DIR "/sys/bus/pci/devices/" SRIOV_PF "/"
#define VF_DIR "/sys/bus/pci/devices/" SRIOV_VF0 "/"
#define ENABLE "/sys/module/vfio_pci/parameters/enable_sriov"
#define VARIABLE "FLATIOMMU_VF_TOKEN"
#define TOKEN "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3"
#define OTHER "BD8D9D2B-5A5F-4F5A-A211-F591514BA1F4"

static const char *const devices[] = { SRIOV_PF, EDU, NULL };

/* One for each function, as a program for each would have. */
static struct flatiommu *contexts[2];

static bool is_on_vfio(void *bdf)
{
	return !strcmp(pci_driver(bdf), "vfio-pci");
}

/* VFs as new: QEMU's are gone once the physical function is reset, as VFIO does when it is opened. */
static int make_vfs(void)
{
	char vf[] = SRIOV_VF0;
	int ret = write_text(PF_DIR "sriov_numvfs", "0");

	/* vfio-pci binds them by itself, and the module claims them */
	if (!ret)
		ret = write_text(PF_DIR "sriov_numvfs", "1");
	if (!ret && !wait_until(is_on_vfio, vf))
		ret = -ETIMEDOUT;
	/* the kernel would wait a minute for one that is gone */
	return ret ? ret : write_text(VF_DIR "reset_method", "\n");
}

static int begin(void **state)
{
	(void)state;
	expect(0, flat_begin(devices));
	if (cdev_is_there())
		expect(0, write_text(IOMMUFD_UNSAFE, "1"));
	expect(0, write_text(ENABLE, "1"));
	return make_vfs();
}

static int end(void **state)
{
	int ret = write_text(PF_DIR "sriov_numvfs", "0");

	(void)state;
	if (!ret)
		ret = write_text(ENABLE, "0");
	return flat_end(devices) ? -1 : ret;
}

/* The backend is *state. */
static int open_contexts(void **state)
{
	unsetenv(VARIABLE);
	setenv("FLATIOMMU_BACKEND", *state, 1);
	expect(0, flatiommu_open(&contexts[0]));
	return flatiommu_open(&contexts[1]);
}

static int close_contexts(void **state)
{
	(void)state;
	flatiommu_close(contexts[0]);
	flatiommu_close(contexts[1]);
	return 0;
}

/* In the context @i, which it has for itself. */
static int try_open(unsigned int i, const char *name)
{
	struct flatiommu_device *device;

	return flatiommu_device_open(contexts[i], name, &device);
}

static void refused(int wanted, const char *word, unsigned int i, const char *name)
{
	expect(wanted, try_open(i, name));
	if (!strstr(flatiommu_reason(contexts[i]), word))
		fail_msg("%s: \"%s\" does not say %s", name, flatiommu_reason(contexts[i]), word);
}

static void close_all(unsigned int i)
{
	flatiommu_close(contexts[i]);
	expect(0, flatiommu_open(&contexts[i]));
}

/* A VF's config space has no addresses, and the library tells them all the same. */
static void has_bus_addresses(unsigned int i, const char *bdf)
{
	struct flatiommu_device *device;
	struct flatiommu_device_info info;
	uint64_t start, size;

	expect(0, flatiommu_device_open(contexts[i], bdf, &device));
	expect(0, flatiommu_device_get_info(device, &info));
	expect(0, pci_bar(bdf, 0, &start, &size));
	assert_true(info.bars[0] == start);
}

static void vf_takes_the_one_of_its_pf(void **state)
{
	(void)state;
	expect(0, try_open(0, SRIOV_PF " vf_token=" TOKEN));
	expect(0, make_vfs());
	refused(-ENOKEY, SRIOV_PF, 1, SRIOV_VF0);
	refused(-ENOKEY, "FLATIOMMU_VF_TOKEN=UUID", 1, SRIOV_VF0);
	refused(-EKEYREJECTED, "another token", 1, SRIOV_VF0 " vf_token=" OTHER);
	expect(0, try_open(1, SRIOV_VF0 " vf_token=" TOKEN));
	close_all(1);
	setenv(VARIABLE, TOKEN, 1);
	has_bus_addresses(1, SRIOV_VF0);
	close_all(1);
	/* what stands behind the address comes first */
	refused(-EKEYREJECTED, "another token", 1, SRIOV_VF0 " vf_token=" OTHER);
}

static void pf_takes_the_one_of_open_vfs(void **state)
{
	(void)state;
	setenv(VARIABLE, TOKEN, 1);
	expect(0, try_open(0, SRIOV_PF));
	close_all(0);
	expect(0, make_vfs());
	expect(0, try_open(1, SRIOV_VF0));
	unsetenv(VARIABLE);
	refused(-ENOKEY, "virtual functions are open", 0, SRIOV_PF);
	refused(-EKEYREJECTED, "another token", 0, SRIOV_PF " vf_token=" OTHER);
	expect(0, try_open(0, SRIOV_PF " vf_token=" TOKEN));
	close_all(0);
	close_all(1);
	/* without one that is open, anybody sets a new one */
	expect(0, try_open(0, SRIOV_PF " vf_token=" OTHER));
	expect(0, make_vfs());
	refused(-EKEYREJECTED, "another token", 1, SRIOV_VF0 " vf_token=" TOKEN);
	expect(0, try_open(1, SRIOV_VF0 " vf_token=" OTHER));
}

static void others_open_with_one(void **state)
{
	(void)state;
	setenv(VARIABLE, TOKEN, 1);
	expect(0, try_open(0, EDU));
	close_all(0);
	expect(0, try_open(0, EDU " vf_token=" TOKEN));
}

static void is_a_uuid(void **state)
{
	static const char *const bad[] = {
		"x", TOKEN "0", "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f", "bd8d9d2b05a5f04f5a0a2110f591514ba1f3",
		"bd8d9d2b-5a5f-4f5a-a211-f591514ba1fg", TOKEN " vf_token=" TOKEN,
	};
	char name[128];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(name, sizeof(name), EDU " vf_token=%s", bad[i]);
		refused(-EINVAL, "is no UUID", 0, name);
		setenv(VARIABLE, bad[i], 1);
		refused(-EINVAL, "is no UUID", 0, EDU);
		unsetenv(VARIABLE);
	}
	refused(-EINVAL, "not a PCI address", 0, "edu vf_token=" TOKEN);
	setenv(VARIABLE, "", 1);
	expect(0, try_open(0, EDU));
}

#define TEST(fn, backend) \
	{ #fn " (" backend ")", fn, open_contexts, close_contexts, backend }
#define TESTS(backend) \
	TEST(vf_takes_the_one_of_its_pf, backend), \
	TEST(pf_takes_the_one_of_open_vfs, backend), \
	TEST(others_open_with_one, backend), \
	TEST(is_a_uuid, backend)

int main(void)
{
	const struct CMUnitTest type1[] = { TESTS("flatiommu-type1") };
	/* up to Linux 6.16 a character device asks for none */
	const struct CMUnitTest cdev[] = { TESTS("flatiommu-iommufd") };
	const struct CMUnitTest both[] = { TESTS("flatiommu-type1"), TESTS("flatiommu-iommufd") };
	bool has_cdev = cdev_is_there() && kernel_is(6, 17);

	module_probe("vfio_iommu_type1");
	module_probe("vfio-pci");
	if (!access("/sys/class/vfio", F_OK))
		return has_cdev ? run_group(both, begin, end) : run_group(type1, begin, end);
	return run_group(cdev, begin, end);
}
