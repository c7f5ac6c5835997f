// SPDX-License-Identifier: MIT
/*
 * The library: a device writes to another device's BAR and reads from it, at the bus address that
 * the library returns. A device cannot be closed while its BAR is a buffer.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "api.h"
#include "devices.h"
#include "edu.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"

#define SHM_BAR 2
#define SHM_SIZE (4u << 20)
#define PORTS 1		/* of pci-testdev */
#define OFFSET 0x5008
#define LENGTH 0x3000

static const char *const devices[] = { EDU, SHM, TESTDEV, FN0, FN1, NULL };

static struct flatiommu_device *edu, *shm;
static struct flatiommu_dma *memory;
static void *regs;

static void open_both(void)
{
	edu = api_open_edu(EDU, &regs);
	shm = api_open(SHM);
	expect(0, flatiommu_dma_alloc(flat, PAGE, NULL, &memory));
}

/* A real IOMMU has to map it, and the library has iommufd map none. */
static bool can(void)
{
	return strcmp(api_backend, "iommu-iommufd");
}

static struct flatiommu_dma *peer(uint64_t offset, size_t length)
{
	struct flatiommu_dma *dma = NULL;
	int err = flatiommu_bar_dma(shm, SHM_BAR, offset, length, NULL, &dma);

	if (err)
		print_error("%s\n", flatiommu_reason(flat));
	expect(0, err);
	return dma;
}

static void tells_bus_addresses(void **state)
{
	struct flatiommu_device_info info;
	struct flatiommu_device *testdev = api_open(TESTDEV);
	uint64_t start, size;
	unsigned int i;

	(void)state;
	open_both();
	expect(0, flatiommu_device_get_info(edu, &info));
	expect(0, pci_bar(EDU, 0, &start, &size));
	assert_true(info.bars[0] == start);
	for (i = 1; i < 6; i++)
		assert_true(info.bars[i] == 0);
	/* Of 64 bits, and so there is none in the next one. */
	expect(0, flatiommu_device_get_info(shm, &info));
	expect(0, pci_bar(SHM, SHM_BAR, &start, &size));
	assert_true(info.bars[SHM_BAR] == start);
	assert_true(info.bars[SHM_BAR + 1] == 0);
	/* Ports have no address that DMA could go to. */
	expect(0, flatiommu_device_get_info(testdev, &info));
	assert_true(info.bars[0] && !info.bars[PORTS]);
	/* VFIO's copy may be written to, and the device does not hear of it. */
	expect(0, flatiommu_config_write32(shm, 0x18, 0));
	expect(0, flatiommu_device_get_info(shm, &info));
	assert_true(info.bars[SHM_BAR] == start);
}

static void is_reached(void **state)
{
	struct flatiommu_device_info info;
	struct flatiommu_dma_segment segment;
	struct flatiommu_dma *dma;
	size_t offset, count = 1;
	char *at;

	(void)state;
	if (!can())
		skip_for("iommufd maps no BAR behind an IOMMU");
	open_both();
	dma = peer(OFFSET, LENGTH);
	assert_int_equal(dma->length, LENGTH);
	assert_int_equal(dma->nr_segments, 1);
	assert_int_equal(dma->segments[0].length, LENGTH);
	expect(0, flatiommu_device_get_info(shm, &info));
	if (!api_isolated())
		assert_true(flatiommu_dma_address(dma, 0) == info.bars[SHM_BAR] + OFFSET);

	/* From memory to the other device. */
	fill(memory->memory, EDU_COPY, 1);
	expect(0, edu_load(regs, flatiommu_dma_address(memory, 0), EDU_COPY));
	expect(0, edu_store(regs, flatiommu_dma_address(dma, 0x2000), EDU_COPY));
	at = (char *)dma->memory + 0x2000;
	assert_memory_equal(at, memory->memory, EDU_COPY);
	/* It is where the program sees it by itself. */
	expect(0, flatiommu_region_read(shm, SHM_BAR, OFFSET + 0x2000, (char *)memory->memory + EDU_COPY, 64));
	assert_memory_equal((char *)memory->memory + EDU_COPY, at, 64);
	/* And back. */
	fill(at, EDU_COPY, 2);
	expect(0, edu_load(regs, flatiommu_dma_address(dma, 0x2000), EDU_COPY));
	expect(0, edu_store(regs, flatiommu_dma_address(memory, 0), EDU_COPY));
	assert_memory_equal(at, memory->memory, EDU_COPY);

	/* It is a buffer like others. */
	assert_ptr_equal(flatiommu_dma_find(flat, at, &offset), dma);
	assert_int_equal(offset, 0x2000);
	assert_true(flatiommu_bus_address(flat, at) == flatiommu_dma_address(dma, 0x2000));
	expect(0, flatiommu_dma_gather(dma, 0x10, 0x20, NULL, &segment, &count));
	assert_true(segment.address == flatiommu_dma_address(dma, 0x10) && segment.length == 0x20);
	/* And no mapping of flatiommu_bar_map(). */
	api_refused(-ENOENT, "nothing is mapped", flatiommu_bar_unmap(shm, dma->memory));
	expect(0, flatiommu_dma_free(dma));
}

/* Registers of a controller's memory buffer (NVMe base specification 3.1.3, 3.1.4.15 to 17). */
#define CMB_BAR	2
#define CMBLOC	0x38
#define CMBSZ	0x3c
#define CMBMSC	0x50
#define CMBMSC_CRE	1u	/* the two registers before this one are there */
#define CMBMSC_CMSE	2u	/* the memory is at the address in this register */

/* Finds the buffer that is the controller's memory. */
static struct flatiommu_dma *controller_memory(struct flatiommu_device *nvme)
{
	struct flatiommu_device_info info;
	struct flatiommu_dma *dma = NULL;
	uint64_t size, unit;
	uint32_t location;
	void *bar;

	expect(0, flatiommu_device_get_info(nvme, &info));
	expect(0, flatiommu_bar_map(nvme, 0, 0, PAGE, 0, &bar));
	flatiommu_write64((char *)bar + CMBMSC, CMBMSC_CRE);
	location = flatiommu_read32((char *)bar + CMBLOC);
	size = flatiommu_read32((char *)bar + CMBSZ);
	unit = 4096ull << 4 * (size >> 8 & 0xf);
	/* BAR 2, from its start on */
	assert_int_equal(location & 7, CMB_BAR);
	assert_int_equal(location >> 12, 0);
	expect(0, flatiommu_bar_dma(nvme, CMB_BAR, 0, (size >> 12) * unit, NULL, &dma));
	flatiommu_write64((char *)bar + CMBMSC,
			  flatiommu_dma_address(dma, 0) | CMBMSC_CRE | CMBMSC_CMSE);
	return dma;
}

/* Of a controller behind a bridge, and from a device that is not behind it and from one that is. */
static void reaches_controller_memory(void **state)
{
	const char *const edus[] = { EDU, FN1 };
	struct flatiommu_device *nvme;
	struct flatiommu_dma *dma;
	char copy[EDU_COPY];
	size_t i;

	(void)state;
	if (!can())
		skip_for("iommufd maps no BAR behind an IOMMU");
	nvme = api_open(FN0);
	dma = controller_memory(nvme);
	for (i = 0; i < ARRAY_SIZE(edus); i++) {
		size_t at = dma->length - (i + 1) * EDU_COPY;

		edu = api_open_edu(edus[i], &regs);
		expect(0, flatiommu_dma_alloc(flat, PAGE, NULL, &memory));
		fill(memory->memory, EDU_COPY, 5);
		expect(0, edu_load(regs, flatiommu_dma_address(memory, 0), EDU_COPY));
		expect(0, edu_store(regs, flatiommu_dma_address(dma, at), EDU_COPY));
		expect(0, flatiommu_region_read(nvme, CMB_BAR, at, copy, EDU_COPY));
		assert_memory_equal(copy, memory->memory, EDU_COPY);
		fill(copy, EDU_COPY, 6);
		expect(0, flatiommu_region_write(nvme, CMB_BAR, at, copy, EDU_COPY));
		expect(0, edu_load(regs, flatiommu_dma_address(dma, at), EDU_COPY));
		expect(0, edu_store(regs, flatiommu_dma_address(memory, 0), EDU_COPY));
		assert_memory_equal(copy, memory->memory, EDU_COPY);
	}
	api_refused(-EBUSY, "1 buffers of its BARs", flatiommu_device_close(nvme));
	expect(0, flatiommu_dma_free(dma));
	expect(0, flatiommu_device_close(nvme));
}

/* Without a length it is all that is left, and it takes no locked memory. */
static void is_not_pinned(void **state)
{
	struct flatiommu_dma *dma;
	long held;

	(void)state;
	if (!can())
		skip_for("iommufd maps no BAR behind an IOMMU");
	open_both();
	held = pins();
	dma = peer(PAGE, 0);
	assert_int_equal(dma->length, SHM_SIZE - PAGE);
	assert_int_equal(pins(), held);
	/* A device that is opened later reaches it, too. */
	api_open(TESTDEV);
	assert_int_equal(pins() > held, api_is("noiommu-group"));
	expect(0, flatiommu_dma_free(dma));
}

static void holds_its_device(void **state)
{
	struct flatiommu_dma *dma, *other;

	(void)state;
	if (!can())
		skip_for("iommufd maps no BAR behind an IOMMU");
	open_both();
	dma = peer(0, PAGE);
	other = peer(0, PAGE);
	api_refused(-EBUSY, "2 buffers of its BARs", flatiommu_device_close(shm));
	expect(0, flatiommu_dma_free(other));
	api_refused(-EBUSY, "1 buffers of its BARs", flatiommu_device_close(shm));
	/* Nothing has changed. */
	fill(memory->memory, EDU_COPY, 3);
	expect(0, edu_load(regs, flatiommu_dma_address(memory, 0), EDU_COPY));
	expect(0, edu_store(regs, flatiommu_dma_address(dma, 0), EDU_COPY));
	assert_memory_equal(dma->memory, memory->memory, EDU_COPY);
	expect(0, flatiommu_dma_free(dma));
	expect(0, flatiommu_device_close(shm));
	/* The device that uses it may go before. */
	shm = api_open(SHM);
	dma = peer(0, PAGE);
	expect(0, flatiommu_device_close(edu));
	api_refused(-EBUSY, "1 buffers of its BARs", flatiommu_device_close(shm));
	/* With what is left the context is closed. */
}

/* Memory that is freed beside it does not end the device's DMA. */
static void does_not_count_as_memory(void **state)
{
	struct flatiommu_dma *dma;

	(void)state;
	if (!can())
		skip_for("iommufd maps no BAR behind an IOMMU");
	open_both();
	dma = peer(0, PAGE);
	expect(0, flatiommu_dma_free(memory));
	expect(0, edu_store(regs, flatiommu_dma_address(dma, 0), EDU_COPY));
	fill(dma->memory, EDU_COPY, 4);
	expect(0, edu_load(regs, flatiommu_dma_address(dma, 0), EDU_COPY));
	expect(0, edu_store(regs, flatiommu_dma_address(dma, EDU_COPY), EDU_COPY));
	assert_memory_equal(dma->memory, (char *)dma->memory + EDU_COPY, EDU_COPY);
}

static int child_closes(void *arg)
{
	struct flatiommu_dma *dma = arg;
	int err = flatiommu_dma_free(dma);

	flatiommu_close(flat);
	return err == -ECHILD ? 0 : -EIO;
}

static void survives_a_fork(void **state)
{
	struct flatiommu_dma *dma;

	(void)state;
	if (!can())
		skip_for("iommufd maps no BAR behind an IOMMU");
	open_both();
	dma = peer(0, PAGE);
	expect(0, in_child(child_closes, dma));
	expect(0, edu_store(regs, flatiommu_dma_address(dma, 0), EDU_COPY));
	expect(0, flatiommu_dma_free(dma));
}

static void is_refused(void **state)
{
	struct flatiommu_device *testdev = api_open(TESTDEV);
	struct flatiommu_dma_options bits = { .address_bits = 20 }, pages = { .pages = FLATIOMMU_PAGES_SMALL };
	struct flatiommu_dma_options flags = { .flags = FLATIOMMU_DMA_READ_ONLY };
	struct flatiommu_dma *dma = NULL;
	void *bar;

	(void)state;
	open_both();
	expect(-EINVAL, flatiommu_bar_dma(NULL, SHM_BAR, 0, PAGE, NULL, &dma));
	api_refused(-EINVAL, "NULL", flatiommu_bar_dma(shm, SHM_BAR, 0, PAGE, NULL, NULL));
	api_refused(-EINVAL, "0 to 5", flatiommu_bar_dma(shm, 6, 0, PAGE, NULL, &dma));
	api_refused(-ENXIO, "no region 4", flatiommu_bar_dma(shm, 4, 0, PAGE, NULL, &dma));
	api_refused(-ERANGE, "4194304 bytes", flatiommu_bar_dma(shm, SHM_BAR, SHM_SIZE, 0, NULL, &dma));
	api_refused(-ERANGE, "4194304 bytes", flatiommu_bar_dma(shm, SHM_BAR, 1, SHM_SIZE, NULL, &dma));
	api_refused(-EOPNOTSUPP, "only flatiommu_dma_alloc() has",
		    flatiommu_bar_dma(shm, SHM_BAR, 0, PAGE, &pages, &dma));
	api_refused(-EOPNOTSUPP, "only flatiommu_dma_alloc() has",
		    flatiommu_bar_dma(shm, SHM_BAR, 0, PAGE, &flags, &dma));
	if (can()) {
		api_refused(-EOPNOTSUPP, api_isolated() ? "ports" : "not known",
			    flatiommu_bar_dma(testdev, PORTS, 0, 4, NULL, &dma));
		if (!api_isolated())
			api_refused(-ERANGE, "20 address bits",
				    flatiommu_bar_dma(shm, SHM_BAR, 0, PAGE, &bits, &dma));
	} else {
		api_refused(-EOPNOTSUPP, "FLATIOMMU_BACKEND=iommu-type1",
			    flatiommu_bar_dma(shm, SHM_BAR, 0, PAGE, NULL, &dma));
	}
	/* Nothing is held by what was refused. */
	expect(0, flatiommu_bar_map(shm, SHM_BAR, 0, PAGE, 0, &bar));
	api_refused(-EFAULT, "flatiommu_bar_dma()", flatiommu_dma_map(flat, bar, PAGE, NULL, &dma));
	/* whatever is before it */
	api_refused(-EFAULT, "goes on in one", flatiommu_dma_map(flat, (char *)bar - PAGE, PAGE + 1, NULL, &dma));
	expect(0, flatiommu_device_close(shm));
	assert_null(dma);
}

int main(void)
{
	const struct api_test tests[] = {
		API_TEST(tells_bus_addresses),
		API_TEST(is_reached),
		API_TEST(reaches_controller_memory),
		API_TEST(is_not_pinned),
		API_TEST(holds_its_device),
		API_TEST(does_not_count_as_memory),
		API_TEST(survives_a_fork),
		API_TEST(is_refused),
	};

	return api_run(tests, ARRAY_SIZE(tests), devices);
}
