// SPDX-License-Identifier: MIT
/* The library: memory for devices that reach only a part of memory, or need contiguous memory. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api.h"
#include "caps.h"
#include "devices.h"
#include "edu.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"

#define CONTIGUOUS FLATIOMMU_DMA_CONTIGUOUS

static const char *const devices[] = { EDU, NULL };

static void *regs;

static struct flatiommu_dma *alloc(size_t length, const struct flatiommu_dma_options *options)
{
	struct flatiommu_dma *dma = NULL;
	int ret = flatiommu_dma_alloc(flat, length, options, &dma);

	if (ret)
		print_error("%s\n", flatiommu_reason(flat));
	assert_int_equal(ret, 0);
	return dma;
}

/* The device reads what the program wrote there, and the program what the device wrote. */
static void expect_reach(const struct flatiommu_dma *dma, size_t offset)
{
	uint64_t bus = flatiommu_dma_address(dma, offset);
	char *at = (char *)dma->memory + offset;

	fill(at, EDU_COPY, (uint32_t)offset + 3);
	expect(0, edu_load(regs, bus, EDU_COPY));
	memset(at, 0, EDU_COPY);
	expect(0, edu_store(regs, bus, EDU_COPY));
	assert_true(is_filled(at, EDU_COPY, (uint32_t)offset + 3));
}

static void expect_as_asked(const struct flatiommu_dma *dma, const struct flatiommu_dma_options *options)
{
	const char *memory = dma->memory;
	size_t i;

	for (i = 0; i < dma->length; i += 512)
		assert_int_equal(memory[i], 0);
	for (i = 0; i < dma->nr_segments && options->address_bits < 64; i++)
		assert_true(dma->segments[i].address + dma->segments[i].length - 1 < 1ull << options->address_bits);
	if (options->flags & CONTIGUOUS)
		assert_int_equal(dma->nr_segments, 1);
	for (i = 0; i < dma->length && !api_isolated(); i += PAGE)
		assert_int_equal(flatiommu_dma_address(dma, i), bus_address(memory + i));
}

/* Each time, in pages of any kind or of one kind. */
static void each_time(void **state)
{
	const size_t lengths[] = { 64, PAGE, 5 * PAGE, 256 << 10, 3 << 20 };
	static const unsigned int bits[] = { 32, LOW_BITS, 36 };
	struct flatiommu_dma_options options = { 0 };
	unsigned int b, l, n;

	(void)state;
	api_open_edu(EDU, &regs);
	for (b = 0; b < ARRAY_SIZE(bits); b++)
		for (l = 0; l < ARRAY_SIZE(lengths); l++)
			for (n = 0; n < 4; n++) {
				struct flatiommu_dma *dma;

				options.address_bits = bits[b];
				options.flags = n & 1 ? CONTIGUOUS : 0;
				options.pages = n & 2 ? FLATIOMMU_PAGES_4K : FLATIOMMU_PAGES_ANY;
				dma = alloc(lengths[l], &options);
				expect_as_asked(dma, &options);
				if (lengths[l] > PAGE)
					expect_reach(dma, lengths[l] - EDU_COPY);
				flatiommu_dma_free(dma);
			}
}

/* A ring of two pages takes two pages, and leaves huge pages to those who asked for them. */
static void rings(void **state)
{
	const struct flatiommu_dma_options options = { .flags = CONTIGUOUS };
	struct flatiommu_dma *ring[16];
	size_t i;

	(void)state;
	api_open_edu(EDU, &regs);
	expect(0, huge_pages(4));
	for (i = 0; i < ARRAY_SIZE(ring); i++) {
		ring[i] = alloc(2 * PAGE, &options);
		assert_int_equal(ring[i]->nr_segments, 1);
		assert_int_equal(ring[i]->page_size, PAGE);
	}
	assert_int_equal(free_huge_pages(), 4);
	expect_reach(ring[3], PAGE);
	/* They are there if that is what is asked for. */
	ring[0] = alloc(2 * PAGE, &(struct flatiommu_dma_options){ .flags = CONTIGUOUS, .pages = FLATIOMMU_PAGES_2M });
	assert_int_equal(ring[0]->page_size, HUGE_PAGE);
	assert_int_equal(free_huge_pages(), 3);
}

static int import_as_nobody(void *arg)
{
	struct flatiommu_dma *copy;
	int *files = arg, ret = become_nobody();

	if (!ret)
		ret = flatiommu_dma_import(files[0], files[1], &copy);
	if (ret)
		return ret;
	if (!is_filled(copy->memory, PAGE, 8))
		return -EBADMSG;
	fill(copy->memory, PAGE, 9);
	flatiommu_dma_free(copy);
	return 0;
}

static void shared_with_a_worker(void **state)
{
	const struct flatiommu_dma_options options = {
		.flags = CONTIGUOUS | FLATIOMMU_DMA_SHARED, .address_bits = LOW_BITS,
	};
	struct flatiommu_dma *dma[3], *copy = NULL;
	int files[3][2];
	size_t i;

	(void)state;
	api_open_edu(EDU, &regs);
	for (i = 0; i < 2; i++)
		dma[i] = alloc(3 * PAGE - 100, &options);
	dma[2] = alloc(3 * PAGE - 100, &(struct flatiommu_dma_options){ .flags = FLATIOMMU_DMA_SHARED });
	for (i = 0; i < 3; i++)
		expect(0, flatiommu_dma_export(dma[i], &files[i][0], &files[i][1]));
	expect(0, flatiommu_dma_import(files[0][0], files[0][1], &copy));
	expect_as_asked(copy, &options);
	expect_reach(copy, PAGE);
	assert_memory_equal(copy->memory, dma[0]->memory, 3 * PAGE - 100);
	fill(dma[0]->memory, PAGE, 8);
	expect(0, in_child(import_as_nobody, files[0]));
	assert_true(is_filled(copy->memory, PAGE, 9));
	/* The memory of one, and the table of another. */
	for (i = 1; i < 3; i++) {
		struct flatiommu_dma *none = NULL;

		expect(-EBADMSG, flatiommu_dma_import(files[0][0], files[i][1], &none));
		expect(-EBADMSG, flatiommu_dma_import(files[i][0], files[0][1], &none));
		assert_null(none);
	}
	for (i = 0; i < 3; i++) {
		close(files[i][0]);
		close(files[i][1]);
	}
	/* The other one's part goes on. */
	flatiommu_dma_free(dma[0]);
	assert_true(is_filled(copy->memory, PAGE, 9));
	flatiommu_dma_free(copy);
}

/* It counts as it is had, and as it is pinned. */
static void respects_memlock(void **state)
{
	struct flatiommu_dma_options options = { .address_bits = LOW_BITS };

	(void)state;
	expect(-ENOMEM, in_child(api_exceed_memlock, &options));
}

/* A child's, so that the privilege ends with it. */
static int alloc_without_rawio(void *arg)
{
	const struct flatiommu_dma_options options = { .flags = CONTIGUOUS };
	struct flatiommu_device *device;
	struct flatiommu_dma *dma = NULL;
	struct flatiommu *mine;
	int ret;

	(void)arg;
	ret = flatiommu_open(&mine);
	if (!ret)
		ret = flatiommu_device_open(mine, EDU, &device);
	if (!ret)
		ret = drop_capability(CAP_SYS_RAWIO);
	if (!ret)
		ret = flatiommu_dma_alloc(mine, 2 * PAGE, &options, &dma);
	flatiommu_close(mine);
	return ret;
}

/* What takes no privilege goes on: here, a huge page. */
static void goes_on_without_privilege(void **state)
{
	(void)state;
	if (api_is("noiommu"))
		skip_for("each pin and each look-up takes the privilege");
	expect(0, huge_pages(2));
	expect(0, in_child(alloc_without_rawio, NULL));
}

static void says_that_there_is_none(void **state)
{
	struct flatiommu_dma_options options = { .address_bits = LOW_BITS };
	struct flatiommu_dma *dma = NULL;
	char why[32];

	(void)state;
	if (api_isolated())
		skip_for("an IOMMU has it all");
	api_open_edu(EDU, &regs);
	snprintf(why, sizeof(why), "%d address bits", LOW_BITS);
	api_refused(-ERANGE, why,
		    flatiommu_dma_alloc(flat, (1ull << LOW_BITS) + (44 << 20), &options, &dma));
	options.flags = FLATIOMMU_DMA_ON_NODE | FLATIOMMU_DMA_NO_FALLBACK;
	if (!access("/sys/devices/system/node/node1", F_OK)) {
		options.node = 1;
		api_refused(-ERANGE, why, flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	}
	options.node = 99;
	api_refused(-EINVAL, "there is no such NUMA node", flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	/* Where other pages were to be tried first. */
	options = (struct flatiommu_dma_options){ .address_bits = 13, .pages = FLATIOMMU_PAGES_TRANSPARENT };
	api_refused(-ERANGE, "the machine has no such memory and can free none", flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	assert_null(dma);
}

int main(void)
{
	const struct api_test tests[] = {
		API_TEST(each_time),
		API_TEST(rings),
		API_TEST(shared_with_a_worker),
		API_TEST(respects_memlock),
		API_TEST(goes_on_without_privilege),
		API_TEST(says_that_there_is_none),
	};

	return api_run(tests, ARRAY_SIZE(tests), devices);
}
