// SPDX-License-Identifier: MIT
/*
 * The backend noiommu-iommufd, on a fake of the kernel interface that it needs. Mapping, pinning,
 * DMA and addresses are real.
 */
#include <errno.h>
#include <flatiommu.h>
#include <string.h>
#include <unistd.h>

#include "api-noiommu-cdev/fake.h"
#include "cdev.h"
#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define COUNT 8

static const char *const devices[] = { EDU, FN1, NULL };

static struct flatiommu *context;
static struct flatiommu_device *edu;
static void *regs;
static int declared = -1;
static long pins_before;
static int files_before;
static char unsafe_before[8];

static int begin(void **state)
{
	int ret = flat_begin(devices);

	(void)state;
	if (ret || read_text(IOMMUFD_UNSAFE, unsafe_before, sizeof(unsafe_before)) < 0 ||
	    write_text(IOMMUFD_UNSAFE, "1"))
		return -1;
	return huge_pages(2);
}

static int end(void **state)
{
	(void)state;
	huge_pages(0);
	write_text(IOMMUFD_UNSAFE, unsafe_before);
	return flat_end(devices);
}

static int open_context(void **state)
{
	(void)state;
	pins_before = pins();
	files_before = count_entries("/proc/self/fd");
	declared = flat_open();
	if (declared < 0 || flat_declare(declared, EDU) || flat_declare(declared, FN1))
		return -1;
	fake_begin(declared, EDU);
	return flatiommu_open(&context);
}

static int close_context(void **state)
{
	(void)state;
	flatiommu_close(context);
	context = NULL;
	fake_end();
	close_fd(&declared);
	if (pins() == pins_before && count_entries("/proc/self/fd") == files_before)
		return 0;
	print_error("pins %ld, were %ld; files %d, were %d\n", pins(), pins_before,
		    count_entries("/proc/self/fd"), files_before);
	return -1;
}

static struct flatiommu_device *open_device(const char *bdf, void **bar)
{
	struct flatiommu_device *device = NULL;

	if (flatiommu_device_open(context, bdf, &device))
		print_error("%s\n", flatiommu_reason(context));
	assert_non_null(device);
	expect(0, flatiommu_bar_map(device, 0, 0, 0, 0, bar));
	expect(0, flatiommu_bus_master(device, true));
	return device;
}

/* What the device writes is where the program has the buffer. */
static void dma_works(void *bar, struct flatiommu_dma *dma, size_t offset)
{
	char *at = (char *)dma->memory + offset;
	uint64_t bus = flatiommu_dma_address(dma, offset);

	assert_int_equal(bus, bus_address(at));
	fill(at, 1024, (uint32_t)offset + 1);
	expect(0, edu_load(bar, bus, 1024));
	memset(at, 0, 1024);
	expect(0, edu_store(bar, bus, 1024));
	assert_true(is_filled(at, 1024, (uint32_t)offset + 1));
}

static void is_what_it_is(void **state)
{
	struct flatiommu_device_info info;

	(void)state;
	edu = open_device(EDU, &regs);
	assert_string_equal(flatiommu_backend(context), "noiommu-iommufd");
	assert_string_equal(flatiommu_backend_reason(context),
			    "noiommu-iommufd: Linux's no-IOMMU mode has it");
	assert_false(flatiommu_isolated(context));
	expect(0, flatiommu_device_get_info(edu, &info));
	assert_int_equal(info.group, -1);
	expect(0, edu_identify(regs));
}

static void allocates(void **state)
{
	struct flatiommu_dma *dma;

	(void)state;
	edu = open_device(EDU, &regs);
	expect(0, flatiommu_dma_alloc(context, COUNT * PAGE, NULL, &dma));
	dma_works(regs, dma, 0);
	dma_works(regs, dma, COUNT * PAGE - 1024);
	flatiommu_dma_free(dma);
	fake_answer(ANSWER_ALL);
	expect(0, flatiommu_dma_alloc(context, HUGE_PAGE, &(struct flatiommu_dma_options){
		.flags = FLATIOMMU_DMA_CONTIGUOUS }, &dma));
	assert_int_equal(dma->nr_segments, 1);
	assert_int_equal(fake_calls(), 1);
	dma_works(regs, dma, HUGE_PAGE - 1024);
}

static void maps_scattered_memory(void **state)
{
	char *memory = mem_scattered(COUNT);
	struct flatiommu_dma *dma;
	size_t i;

	(void)state;
	assert_non_null(memory);
	edu = open_device(EDU, &regs);
	expect(0, flatiommu_dma_map(context, memory + 100, COUNT * PAGE - 200, NULL, &dma));
	assert_int_equal(dma->nr_segments, COUNT);
	assert_int_equal(dma->segments[0].address, bus_address(memory + 100));
	assert_int_equal(dma->segments[0].length, PAGE - 100);
	assert_int_equal(dma->segments[COUNT - 1].length, PAGE - 100);
	for (i = 1; i < COUNT; i++)
		assert_int_equal(dma->segments[i].address, bus_address(memory + i * PAGE));
	dma_works(regs, dma, 0);
	dma_works(regs, dma, 3 * PAGE);
	dma_works(regs, dma, (COUNT - 1) * PAGE);
	flatiommu_dma_free(dma);
	assert_int_equal(pins(), pins_before);
	mem_free(memory, COUNT * PAGE);
}

/* However little it says at a time, what is consecutive is one segment. */
static void puts_answers_together(void **state)
{
	char *memory = mem_scattered(COUNT);
	struct flatiommu_dma *dma;

	(void)state;
	edu = open_device(EDU, &regs);
	fake_answer(ANSWER_BYTES);
	expect(0, flatiommu_dma_map(context, memory, COUNT * PAGE, NULL, &dma));
	assert_int_equal(dma->nr_segments, COUNT);
	assert_int_equal(fake_calls(), COUNT * 5);
	dma_works(regs, dma, 2 * PAGE);
	expect(0, flatiommu_dma_alloc(context, HUGE_PAGE, &(struct flatiommu_dma_options){
		.pages = FLATIOMMU_PAGES_2M, .flags = FLATIOMMU_DMA_NO_FALLBACK }, &dma));
	assert_int_equal(dma->nr_segments, 1);
	dma_works(regs, dma, HUGE_PAGE / 2);
	flatiommu_close(context);
	context = NULL;
	mem_free(memory, COUNT * PAGE);
}

static void wrong_answers(void **state)
{
	static const struct {
		enum answer answer;
		int error;
	} wrong[] = {
		{ ANSWER_NOTHING, -EIO },
		{ ANSWER_TOO_MUCH, -EIO },
		{ ANSWER_HOLE, -ENOENT },
		{ ANSWER_NO_CALL, -ENOTTY },
	};
	char *memory = mem_scattered(COUNT);
	struct flatiommu_dma *dma = NULL;
	size_t i;

	(void)state;
	edu = open_device(EDU, &regs);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		fake_answer(wrong[i].answer);
		expect(wrong[i].error, flatiommu_dma_map(context, memory, COUNT * PAGE, NULL, &dma));
		assert_non_null(strstr(flatiommu_reason(context), "IOMMU_IOAS_NOIOMMU_GET_PA"));
		assert_null(dma);
		assert_int_equal(pins(), pins_before);
		expect(wrong[i].error, flatiommu_dma_alloc(context, 2 * PAGE, NULL, &dma));
		assert_null(dma);
		assert_int_equal(pins(), pins_before);
	}
	fake_answer(ANSWER_ALL);
	expect(0, flatiommu_dma_map(context, memory, COUNT * PAGE, NULL, &dma));
	dma_works(regs, dma, PAGE);
	flatiommu_dma_free(dma);
	mem_free(memory, COUNT * PAGE);
}

/* Both reach the same buffer, and it outlives the one and then the other. */
static void two_devices(void **state)
{
	struct flatiommu_device *fn1;
	struct flatiommu_dma *dma;
	uint64_t bus;
	void *bar;

	(void)state;
	edu = open_device(EDU, &regs);
	expect(0, flatiommu_dma_alloc(context, 3 * PAGE, NULL, &dma));
	fn1 = open_device(FN1, &bar);
	bus = flatiommu_dma_address(dma, PAGE);
	dma_works(regs, dma, PAGE);
	dma_works(bar, dma, PAGE);
	flatiommu_device_close(edu);
	dma_works(bar, dma, PAGE);
	flatiommu_device_close(fn1);
	assert_int_equal(bus_address((char *)dma->memory + PAGE), bus);
	assert_int_not_equal(pins(), pins_before);
	edu = open_device(EDU, &regs);
	dma_works(regs, dma, PAGE);
	flatiommu_dma_free(dma);
	assert_int_equal(pins(), pins_before);
}

static void no_other_backend(void **state)
{
	static const char *const names[] = {
		"iommu-iommufd", "iommu-type1", "flatiommu-iommufd", "flatiommu-type1", "noiommu-group",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		setenv("FLATIOMMU_BACKEND", names[i], 1);
		expect(-EOPNOTSUPP, flatiommu_device_open(context, EDU, &edu));
		assert_non_null(strstr(flatiommu_reason(context), names[i]));
	}
	setenv("FLATIOMMU_BACKEND", "noiommu-iommufd", 1);
	edu = open_device(EDU, &regs);
	unsetenv("FLATIOMMU_BACKEND");
	assert_string_equal(flatiommu_backend(context), "noiommu-iommufd");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_context, close_context)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(is_what_it_is),
		TEST(allocates),
		TEST(maps_scattered_memory),
		TEST(puts_answers_together),
		TEST(wrong_answers),
		TEST(two_devices),
		TEST(no_other_backend),
	};

	if (!cdev_is_there())
		skip_all("this kernel has no iommufd or no VFIO character devices");
	return run_group(tests, begin, end);
}
