// SPDX-License-Identifier: MIT
/* The library: BARs, config space and capabilities. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "api.h"
#include "devices.h"
#include "edu.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"

#define EDU_BAR_SIZE (1 << 20)
/* pci-testdev: a page of memory, and ports, which tell a name at 16 once a test is chosen at 0. */
#define PORTS 1
#define PORTS_NAME "portio-no-eventfd"

static const char *const devices[] = { EDU, NVME, TESTDEV, SRIOV_PF, NULL };

static void tells_sizes(void **state)
{
	struct flatiommu_device *edu = api_open(EDU);
	unsigned int i;

	(void)state;
	assert_int_equal(flatiommu_region_size(edu, 0), EDU_BAR_SIZE);
	for (i = 1; i < 6; i++)
		assert_int_equal(flatiommu_region_size(edu, i), 0);
	assert_true(flatiommu_region_size(edu, FLATIOMMU_REGION_CONFIG) >= PCI_CFG_SPACE_SIZE);
	api_refused(-EINVAL, "no region 9", flatiommu_region_size(edu, 9));
	api_refused(-EINVAL, "no region", flatiommu_region_size(edu, UINT32_MAX));
}

static void maps_registers(void **state)
{
	struct flatiommu_device *edu = api_open(EDU);
	void *all = NULL, *part = NULL, *last = NULL;

	(void)state;
	expect(0, flatiommu_bar_map(edu, 0, 0, 0, 0, &all));
	expect(0, edu_identify(all));
	/* From within a page on, and beside the other mapping. */
	expect(0, flatiommu_bar_map(edu, 0, 4, 4, 0, &part));
	assert_int_equal((uintptr_t)part % PAGE, 4);
	/* edu answers with the complement of what was written there. */
	flatiommu_write32(part, 0x12345678);
	assert_int_equal(flatiommu_read32((char *)all + 4), (uint32_t)~0x12345678);
	expect(0, flatiommu_bar_map(edu, 0, EDU_BAR_SIZE - 4, 0, 0, &last));
	expect(0, flatiommu_bar_unmap(edu, part));
	api_refused(-ENOENT, "nothing is mapped", flatiommu_bar_unmap(edu, part));
	api_refused(-ENOENT, "nothing is mapped", flatiommu_bar_unmap(edu, NULL));
	expect(0, edu_identify(all));
	expect(0, flatiommu_bar_unmap(edu, all));
}

static void refuses_what_is_not_there(void **state)
{
	struct flatiommu_device *edu = api_open(EDU), *testdev = api_open(TESTDEV);
	void *memory = NULL;

	(void)state;
	api_refused(-ENXIO, "no region 1", flatiommu_bar_map(edu, 1, 0, 0, 0, &memory));
	api_refused(-EINVAL, "BARs are 0 to 5", flatiommu_bar_map(edu, 6, 0, 0, 0, &memory));
	api_refused(-EINVAL, "BARs are 0 to 5", flatiommu_bar_map(edu, FLATIOMMU_REGION_CONFIG, 0, 0, 0, &memory));
	api_refused(-EOPNOTSUPP, "unknown flags", flatiommu_bar_map(edu, 0, 0, 0, 2, &memory));
	api_refused(-EINVAL, "NULL", flatiommu_bar_map(edu, 0, 0, 0, 0, NULL));
	api_refused(-ERANGE, "1048576 bytes", flatiommu_bar_map(edu, 0, EDU_BAR_SIZE, 0, 0, &memory));
	api_refused(-ERANGE, "1048576 bytes", flatiommu_bar_map(edu, 0, 0, EDU_BAR_SIZE + 1, 0, &memory));
	api_refused(-ERANGE, "", flatiommu_bar_map(edu, 0, UINT64_MAX, 1, 0, &memory));
	api_refused(-ERANGE, "", flatiommu_bar_map(edu, 0, 4, SIZE_MAX, 0, &memory));
	api_refused(-EOPNOTSUPP, "ports", flatiommu_bar_map(testdev, PORTS, 0, 0, 0, &memory));
	api_refused(-EINVAL, "not prefetchable",
		    flatiommu_bar_map(edu, 0, 0, 0, FLATIOMMU_BAR_WRITE_COMBINED, &memory));
	assert_null(memory);
}

static void reads_and_writes_regions(void **state)
{
	struct flatiommu_device *edu = api_open(EDU), *testdev = api_open(TESTDEV);
	char name[sizeof(PORTS_NAME)] = "";
	uint32_t value = 0;
	uint8_t number = 0;

	(void)state;
	expect(0, flatiommu_region_write(testdev, PORTS, 0, &number, 1));
	expect(0, flatiommu_region_read(testdev, PORTS, 16, name, sizeof(name) - 1));
	assert_string_equal(name, PORTS_NAME);
	expect(0, flatiommu_region_read(edu, 0, 0, &value, sizeof(value)));
	assert_int_equal(value & 0xffff, 0x00ed);
	value = 0xff00ff00;
	expect(0, flatiommu_region_write(edu, 0, 4, &value, sizeof(value)));
	expect(0, flatiommu_region_read(edu, 0, 4, &value, sizeof(value)));
	assert_int_equal(value, 0x00ff00ff);
	/* Nothing is no access. */
	expect(0, flatiommu_region_read(edu, 0, EDU_BAR_SIZE, &value, 0));
	api_refused(-ENXIO, "no region 2", flatiommu_region_read(edu, 2, 0, &value, 4));
	api_refused(-EINVAL, "no such region", flatiommu_region_read(edu, 9, 0, &value, 4));
	api_refused(-EINVAL, "NULL", flatiommu_region_read(edu, 0, 0, NULL, 4));
	api_refused(-EINVAL, "NULL", flatiommu_region_write(edu, 0, 0, NULL, 4));
	api_refused(-ERANGE, "", flatiommu_region_read(edu, 0, EDU_BAR_SIZE - 2, &value, 4));
	api_refused(-ERANGE, "", flatiommu_region_write(edu, 0, UINT64_MAX, &value, 4));
}

static void reads_and_writes_config_space(void **state)
{
	struct flatiommu_device *nvme = api_open(NVME);
	uint32_t both;
	uint16_t vendor, device, command;
	uint8_t line;

	(void)state;
	expect(0, flatiommu_config_read16(nvme, PCI_VENDOR_ID, &vendor));
	expect(0, flatiommu_config_read16(nvme, PCI_DEVICE_ID, &device));
	expect(0, flatiommu_config_read32(nvme, PCI_VENDOR_ID, &both));
	assert_int_equal(both, (uint32_t)device << 16 | vendor);
	assert_int_equal(vendor, 0x1b36);
	expect(0, flatiommu_config_read16(nvme, PCI_COMMAND, &command));
	expect(0, flatiommu_config_write16(nvme, PCI_COMMAND, command & ~PCI_COMMAND_MEMORY));
	api_refused(-EIO, "its memory is off", flatiommu_region_read(nvme, 0, 0, &both, sizeof(both)));
	expect(0, flatiommu_config_write16(nvme, PCI_COMMAND, command | PCI_COMMAND_INTX_DISABLE));
	expect(0, flatiommu_config_read16(nvme, PCI_COMMAND, &command));
	assert_true(command & PCI_COMMAND_INTX_DISABLE);
	expect(0, flatiommu_config_write8(nvme, PCI_INTERRUPT_LINE, 0x5a));
	expect(0, flatiommu_config_read8(nvme, PCI_INTERRUPT_LINE, &line));
	assert_int_equal(line, 0x5a);
	/* What VFIO does not let through is no error. */
	expect(0, flatiommu_config_write32(nvme, PCI_VENDOR_ID, 0));
	expect(0, flatiommu_config_read16(nvme, PCI_VENDOR_ID, &vendor));
	assert_int_equal(vendor, 0x1b36);
	api_refused(-ERANGE, "region 7", flatiommu_config_read32(nvme, PCI_CFG_SPACE_EXP_SIZE, &both));
	api_refused(-ERANGE, "region 7", flatiommu_config_read32(nvme, PCI_CFG_SPACE_EXP_SIZE - 2, &both));
	api_refused(-ERANGE, "region 7", flatiommu_config_write8(nvme, UINT32_MAX, 0));
	api_refused(-EINVAL, "NULL", flatiommu_config_read8(nvme, 0, NULL));
}

static void finds_capabilities(void **state)
{
	struct flatiommu_device *nvme = api_open(NVME), *pf = api_open(SRIOV_PF);
	unsigned int at = 0, n;
	uint32_t header;
	uint8_t id;

	(void)state;
	expect(0, flatiommu_capability(nvme, PCI_CAP_ID_MSIX, &at));
	expect(0, flatiommu_config_read8(nvme, at, &id));
	assert_int_equal(id, PCI_CAP_ID_MSIX);
	api_refused(-ENOENT, "0x11", flatiommu_capability(nvme, PCI_CAP_ID_MSIX, &at));
	at = 0;
	api_refused(-ENOENT, "0x4", flatiommu_capability(nvme, PCI_CAP_ID_SLOTID, &at));
	assert_int_equal(at, 0);
	api_refused(-EINVAL, "NULL", flatiommu_capability(nvme, PCI_CAP_ID_MSIX, NULL));

	expect(0, flatiommu_extended_capability(pf, PCI_EXT_CAP_ID_SRIOV, &at));
	expect(0, flatiommu_config_read32(pf, at, &header));
	assert_int_equal(PCI_EXT_CAP_ID(header), PCI_EXT_CAP_ID_SRIOV);
	api_refused(-ENOENT, "0x10", flatiommu_extended_capability(pf, PCI_EXT_CAP_ID_SRIOV, &at));
	at = 0;
	api_refused(-ENOENT, "0x3", flatiommu_extended_capability(pf, PCI_EXT_CAP_ID_DSN, &at));
	assert_int_equal(at, 0);
	/* The list as a whole ends, from whatever capability one goes on. */
	for (n = 0, at = 0; n < 256 && !flatiommu_capability(nvme, PCI_CAP_ID_EXP, &at); n++)
		;
	assert_int_equal(n, 1);
}

static void has_no_extended_capabilities(void **state)
{
	struct flatiommu_device *edu = api_open(EDU);
	unsigned int at = 0;

	(void)state;
	api_refused(-ENOENT, "0x10", flatiommu_extended_capability(edu, PCI_EXT_CAP_ID_SRIOV, &at));
	expect(0, flatiommu_capability(edu, PCI_CAP_ID_MSI, &at));
}

/* The mapping is the module's doing; that it is one, tests/guest/wc.c shows. */
static void maps_write_combined(void **state)
{
	struct flatiommu_device_info info;
	struct flatiommu_device *shm;
	bool flatiommu = !strncmp(api_backend, "flatiommu-", strlen("flatiommu-"));
	void *memory = NULL, *plain = NULL;

	(void)state;
	expect(0, api_bind(SHM));
	shm = api_open(SHM);
	api_refused(flatiommu ? -EBUSY : -EOPNOTSUPP, flatiommu ? "bind --wc 2" : "needs a claim",
		    flatiommu_bar_map(shm, 2, 0, 0, FLATIOMMU_BAR_WRITE_COMBINED, &memory));
	assert_null(memory);
	expect(0, flatiommu_bar_map(shm, 2, 0, 0, 0, &plain));
	flatiommu_device_close(shm);
	expect(0, pci_unbind(SHM));
	if (flatiommu) {
		expect(0, flat_release(SHM));
		expect(0, flat_claim(SHM "/wc=2"));
		expect(0, pci_bind(SHM, "vfio-pci"));
		shm = api_open(SHM);
		/* It cannot be had otherwise then. */
		api_refused(-EBUSY, "is write-combined", flatiommu_bar_map(shm, 2, 0, 0, 0, &memory));
		expect(0, flatiommu_device_get_info(shm, &info));
		assert_int_equal(info.wc_bars, 1 << 2);
		expect(0, flatiommu_bar_map(shm, 2, 0, PAGE, FLATIOMMU_BAR_WRITE_COMBINED, &memory));
		memset(memory, 0x5a, PAGE);
		flatiommu_wc_flush();
		assert_int_equal(flatiommu_read8((char *)memory + PAGE - 1), 0x5a);
		flatiommu_device_close(shm);
		expect(0, pci_unbind(SHM));
		expect(0, flat_release(SHM));
	}
	pci_bind_default(SHM);
}

int main(void)
{
	const struct api_test tests[] = {
		API_TEST(tells_sizes),
		API_TEST(maps_registers),
		API_TEST(refuses_what_is_not_there),
		API_TEST(reads_and_writes_regions),
		API_TEST(reads_and_writes_config_space),
		API_TEST(finds_capabilities),
		API_TEST(has_no_extended_capabilities),
		API_TEST(maps_write_combined),
	};

	return api_run(tests, ARRAY_SIZE(tests), devices);
}
