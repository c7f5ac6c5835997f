// SPDX-License-Identifier: MIT
/*
 * What lasts: copies of structures, options that the library does not know, and functions under the
 * names of inlines.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "fake.h"

/* Of the library; under another name, as the header's is inline. */
extern uint64_t twin_address(const struct flatiommu_dma *dma, size_t offset) __asm__("flatiommu_dma_address");
extern uint64_t twin_read64_hl(const volatile void *reg) __asm__("flatiommu_read64_hl");
extern void twin_write64_lh(volatile void *reg, uint64_t value) __asm__("flatiommu_write64_lh");
extern void twin_mb(void) __asm__("flatiommu_mb");

static void a_copy_is_as_good(void)
{
	struct flatiommu_dma_segment segments[4];
	struct flatiommu_dma copy;
	size_t n = 4;

	fake_begin(FAKE_FLAT);
	must_open(FN0);
	copy = *must_alloc(3 * 4096);
	CHECK(copy.nr_segments == 3);
	CHECK(flatiommu_dma_address(&copy, 5000) == copy.segments[1].address + 5000 - 4096);
	CHECK(!flatiommu_dma_gather(&copy, 100, 8000, NULL, segments, &n) && n == 2);
	CHECK(segments[0].address == copy.segments[0].address + 100 && segments[1].length == 8000 - 3996);
	CHECK(!flatiommu_dma_free(&copy));
	fake_end();
}

static void twins(void)
{
	const struct flatiommu_dma *dma;
	volatile uint32_t halves[2] = { 1, 2 };

	fake_begin(FAKE_FLAT);
	must_open(FN0);
	dma = must_alloc(3 * 4096);
	CHECK(twin_address(dma, 9000) == flatiommu_dma_address(dma, 9000) && twin_address(dma, 3 * 4096) == UINT64_MAX);
	CHECK(twin_read64_hl(halves) == 0x200000001 && flatiommu_read64_lh(halves) == 0x200000001);
	twin_write64_lh(halves, 0x300000004);
	twin_mb();
	CHECK(halves[0] == 4 && halves[1] == 3);
	flatiommu_write64_hl(halves, 0x500000006);
	CHECK(flatiommu_read32_relaxed(halves) == 6 && flatiommu_read32_relaxed(halves + 1) == 5);
	fake_end();
}

static void options(void)
{
	static const char *const backends[] = { "iommu-type1", "flatiommu-type1", "magic", "" };
	static const int errors[] = { 0, -EOPNOTSUPP, -EINVAL };
	struct flatiommu_device *device;
	struct flatiommu *other;
	size_t i;

	fake_begin(FAKE_IOMMU);
	CHECK(!setenv("FLATIOMMU_BACKEND", "noiommu-group", 1));
	CHECK(flatiommu_open_with(&(struct flatiommu_options){ .backend = backends[3] }, &other) == -EINVAL);
	for (i = 0; i < 3; i++) {
		CHECK(!flatiommu_open_with(&(struct flatiommu_options){ .backend = backends[i] }, &other));
		CHECK(flatiommu_device_open(other, FN0, &device) == errors[i]);
		CHECK(!errors[i] || strstr(flatiommu_reason(other), "options.backend="));
		flatiommu_close(other);
	}
	CHECK(!unsetenv("FLATIOMMU_BACKEND"));
	for (i = 0; i < 6; i++) {
		struct flatiommu_options wrong = { 0 };
		struct flatiommu_device_options wrong_device = { 0 };

		wrong.reserved[i] = 1;
		wrong_device.reserved[i] = 1;
		CHECK(flatiommu_open_with(&wrong, &other) == -EOPNOTSUPP);
		CHECK(flatiommu_device_open_with(flat, FN0, &wrong_device, &device) == -EOPNOTSUPP);
	}
	CHECK(flatiommu_device_open_with(flat, FN0, &(struct flatiommu_device_options){ .vf_token = "no" },
					 &device) == -EINVAL);
	CHECK(strstr(flatiommu_reason(flat), "UUID"));
	CHECK(!flatiommu_device_open_with(flat, FN0, &(struct flatiommu_device_options){
		.vf_token = "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3" }, &device));
	CHECK(!flatiommu_device_open_with(flat, FN1, NULL, &device));
	CHECK(flatiommu_device_open_with(flat, NULL, NULL, &device) == -EINVAL);
	fake_end();
}

static void reserved_is_for_later(void)
{
	struct flatiommu_dma_segment segment;
	struct flatiommu_device_info info;
	struct flatiommu_dma *dma, *none;
	size_t i, n = 1;

	fake_begin(FAKE_IOMMU);
	memset(&info, 1, sizeof(info));
	CHECK(!flatiommu_device_get_info(must_open(FN0), &info));
	for (i = 0; i < sizeof(info.reserved) / sizeof(info.reserved[0]); i++)
		CHECK(!info.reserved[i]);
	dma = must_alloc(4096);
	for (i = 0; i < 4; i++) {
		struct flatiommu_dma_options wrong = { 0 };
		struct flatiommu_dma_limits limits = { 0 };

		wrong.reserved[i] = 1;
		limits.reserved[i] = 1;
		CHECK(flatiommu_dma_alloc(flat, 4096, &wrong, &none) == -EOPNOTSUPP);
		CHECK(flatiommu_dma_gather(dma, 0, 1, &limits, &segment, &n) == -EOPNOTSUPP);
	}
	fake_end();
}

/* What devices only read may be read-only for the program. What they neither read nor write is no buffer. */
static void read_only(void)
{
	const struct flatiommu_dma_options only = { .flags = FLATIOMMU_DMA_READ_ONLY };
	const struct flatiommu_dma_options writes = { .flags = FLATIOMMU_DMA_WRITE_ONLY };
	const struct flatiommu_dma_options neither = { .flags = only.flags | writes.flags };
	struct flatiommu_dma *dma = NULL;
	char *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	fake_begin(FAKE_IOMMU);
	must_open(FN0);
	CHECK(memory != MAP_FAILED);
	CHECK(flatiommu_dma_map(flat, memory, 4096, NULL, &dma) == -EFAULT && !dma);
	CHECK(strstr(flatiommu_reason(flat), "some of it is read-only"));
	CHECK(!flatiommu_dma_map(flat, memory, 4096, &only, &dma));
	CHECK(!flatiommu_dma_free(dma));
	CHECK(flatiommu_dma_map(flat, memory, 4096, &writes, &dma) == -EFAULT);
	CHECK(flatiommu_dma_map(flat, memory, 4096, &neither, &dma) == -EINVAL);
	CHECK(flatiommu_dma_alloc(flat, 4096, &neither, &dma) == -EINVAL);
	CHECK(!flatiommu_dma_alloc(flat, 4096, &only, &dma));
	CHECK(!flatiommu_dma_free(dma));
	CHECK(!flatiommu_dma_alloc(flat, 4096, &writes, &dma));
	CHECK(!flatiommu_dma_free(dma));
	munmap(memory, 4096);
	fake_end();
}

int main(void)
{
	a_copy_is_as_good();
	twins();
	options();
	reserved_is_for_later();
	read_only();
	CHECK(LIBFLATIOMMU_VERSION == LIBFLATIOMMU_VERSION_CODE(0, 1, 0) &&
	      !strcmp(flatiommu_library_version(), "0.1.0"));
	return EXIT_SUCCESS;
}
