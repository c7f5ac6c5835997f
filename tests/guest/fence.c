// SPDX-License-Identifier: MIT
/*
 * on_refusal=fence, and the option fence of a claim: after a refused map the program's functions do
 * no more DMA. With on_refusal=warn they go on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "fixture.h"
#include "kmsg.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define ON_REFUSAL PARAMETERS "on_refusal"

static const char *const devices[] = { EDU, FN1, NULL };

static struct vfio_dev edu = VFIO_DEV_INIT, edu2 = VFIO_DEV_INIT;
static int container = -1, container2 = -1;
static char *page;
static uint64_t bus;

/* edu, which may write to one page. */
static int open_container(void **state)
{
	int ret;

	(void)state;
	page = mem_pages(1);
	if (!page)
		return -1;
	ret = vfio_open_alone(&edu, &container, EDU);
	return ret ? ret : vfio_map_at_bus(container, page, PAGE, &bus);
}

static int close_container(void **state)
{
	(void)state;
	vfio_close(&edu2);
	vfio_close(&edu);
	close_fd(&container2);
	close_fd(&container);
	mem_free(page, PAGE);
	return write_text(ON_REFUSAL, "warn");
}

/* Does what @dev writes to the page get there? */
static bool dma_lands(struct vfio_dev *dev)
{
	static uint32_t seed;

	/* The device may load this. */
	fill(page, PAGE, ++seed);
	expect(0, vfio_set_bus_master(dev, true));
	expect(0, edu_load(dev->bar0, bus, EDU_COPY));
	memset(page, 0, PAGE);
	expect(0, edu_store(dev->bar0, bus, EDU_COPY));
	return is_filled(page, EDU_COPY, seed);
}

/* As before, with the bus mastering that the device has. */
static bool store_lands(struct vfio_dev *dev)
{
	memset(page, 0xa5, PAGE);
	expect(0, edu_store(dev->bar0, bus, EDU_COPY));
	return page[0] != (char)0xa5 || memcmp(page, page + 1, EDU_COPY - 1);
}

static void be_refused(int in)
{
	expect(0, log_mark());
	expect(-EADDRNOTAVAIL, vfio_map(in, page, (uintptr_t)page, PAGE));
	assert_int_equal(log_count("is refused a map"), 1);
}

static void takes_only_its_words(void **state)
{
	char text[16];

	(void)state;
	expect_good(read_text(ON_REFUSAL, text, sizeof(text)));
	assert_string_equal(text, "warn");
	expect(-EINVAL, write_text(ON_REFUSAL, "panic"));
	expect(0, write_text(ON_REFUSAL, "fence"));
	expect_good(read_text(ON_REFUSAL, text, sizeof(text)));
	assert_string_equal(text, "fence");
}

/* Like the two pages that type1 maps at each attach to see what happens, they have a reference and no pin. */
static void two_reserved_pages_are_refused(void **state)
{
	int memory = open("/dev/mem", O_RDWR | O_CLOEXEC);
	void *rom;

	(void)state;
	/* the firmware's, below 1 MiB, which also STRICT_DEVMEM leaves */
	rom = memory < 0 ? MAP_FAILED : mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0xe0000);
	close_fd(&memory);
	if (rom == MAP_FAILED)
		skip_for("this kernel gives no program such memory");
	expect(0, log_mark());
	expect(-EADDRNOTAVAIL, vfio_map(container, rom, 1ull << 40, 2 * PAGE));
	assert_int_equal(log_count("is refused a map"), 1);
	munmap(rom, 2 * PAGE);
}

static void warns(void **state)
{
	(void)state;
	assert_true(dma_lands(&edu));
	be_refused(container);
	assert_int_equal(log_count("bus mastering"), 0);
	expect(1, vfio_bus_master(&edu));
	assert_true(store_lands(&edu));
}

static void fences(void **state)
{
	(void)state;
	expect(0, write_text(ON_REFUSAL, "fence"));
	assert_true(dma_lands(&edu));
	assert_true(store_lands(&edu));
	be_refused(container);
	assert_int_equal(log_count("bus mastering is cleared"), 1);
	expect(0, vfio_bus_master(&edu));
	assert_false(store_lands(&edu));
	/* Whoever owns the device may start again. */
	assert_true(dma_lands(&edu));
	assert_true(store_lands(&edu));
}

static void fences_all_of_a_container(void **state)
{
	(void)state;
	expect(0, write_text(ON_REFUSAL, "fence"));
	expect(0, vfio_open(&edu2, container, FN1));
	assert_true(dma_lands(&edu));
	assert_true(dma_lands(&edu2));
	be_refused(container);
	expect(0, vfio_bus_master(&edu));
	expect(0, vfio_bus_master(&edu2));
	assert_false(store_lands(&edu));
	assert_false(store_lands(&edu2));
}

static void fences_no_other_container(void **state)
{
	(void)state;
	expect(0, write_text(ON_REFUSAL, "fence"));
	container2 = expect_good(vfio_container());
	expect(0, vfio_open(&edu2, container2, FN1));
	expect(0, vfio_set_bus_master(&edu2, true));
	be_refused(container2);
	expect(0, vfio_bus_master(&edu2));
	expect(1, vfio_bus_master(&edu));
	assert_true(dma_lands(&edu));
}

/* Type1 tries a map of its own when a group comes; that is no reason to stop those that work. */
static void attach_fences_nobody(void **state)
{
	(void)state;
	expect(0, write_text(ON_REFUSAL, "fence"));
	assert_true(dma_lands(&edu));
	expect(0, log_mark());
	expect(0, vfio_open(&edu2, container, FN1));
	assert_int_equal(log_count("flatiommu"), 0);
	expect(1, vfio_bus_master(&edu));
	assert_true(store_lands(&edu));
}

/* The claim of one function says fence: it is for all that share its I/O address space, as long as they do. */
static void claim_fences(void **state)
{
	int flat = expect_good(flat_open());

	expect(0, close_container(state));
	expect(0, pci_take_again(EDU, "/fence"));
	expect(FLATIOMMU_STATE_FENCE, flat_state(flat, EDU) & (FLATIOMMU_STATE_FENCE | FLATIOMMU_STATE_HOLD));
	expect(0, flat_state(flat, FN1) & (FLATIOMMU_STATE_FENCE | FLATIOMMU_STATE_HOLD));
	close_fd(&flat);
	expect(0, open_container(state));
	expect(0, vfio_open(&edu2, container, FN1));
	assert_true(dma_lands(&edu));
	expect(0, vfio_set_bus_master(&edu2, true));
	be_refused(container);
	assert_int_equal(log_count("bus mastering is cleared"), 1);
	expect(0, vfio_bus_master(&edu));
	expect(0, vfio_bus_master(&edu2));
	assert_false(store_lands(&edu));
	/* Alone, the other one is warned. */
	vfio_close(&edu);
	expect(0, vfio_set_bus_master(&edu2, true));
	be_refused(container);
	expect(1, vfio_bus_master(&edu2));
	expect(0, pci_take_again(EDU, ""));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_container, close_container)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(takes_only_its_words),
		TEST(warns),
		TEST(two_reserved_pages_are_refused),
		TEST(fences),
		TEST(fences_all_of_a_container),
		TEST(fences_no_other_container),
		TEST(attach_fences_nobody),
		TEST(claim_fences),
	};

	return run_with(devices, tests);
}
