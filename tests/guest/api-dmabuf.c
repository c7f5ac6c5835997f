// SPDX-License-Identifier: MIT
/* The library: dma-bufs of udmabuf and of the system's heap as buffers, and buffers as dma-bufs. */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api.h"
#include "devices.h"
#include "edu.h"
#include "mem.h"
#include "test.h"

#define PAGES 64

static const char *const devices[] = { EDU, NULL };

static void *regs;

/* Where the module attaches. */
static bool can_import(void)
{
	return api_is("flatiommu-") || api_is("noiommu-group");
}

static bool has_udmabuf(void)
{
	return !access("/dev/udmabuf", F_OK);
}

/* Returns memory that a dma-buf can be made of, no two pages of which are neighbours on the bus. */
static char *file_memory(int *file)
{
	char *memory;

	*file = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(*file >= 0);
	expect(0, ftruncate(*file, (off_t)(PAGES * PAGE)));
	expect(0, fcntl(*file, F_ADD_SEALS, F_SEAL_SHRINK));
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, *file, 0);
	assert_true(memory != MAP_FAILED);
	fill(memory, PAGES * PAGE, 1);
	return memory;
}

static int dmabuf_of(int file)
{
	struct udmabuf_create create = {
		.memfd = (uint32_t)file,
		.flags = UDMABUF_FLAGS_CLOEXEC,
		.size = PAGES * PAGE,
	};
	int node = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), dmabuf;

	assert_true(node >= 0);
	dmabuf = expect_good(ioctl(node, UDMABUF_CREATE, &create));
	close(node);
	return dmabuf;
}

static int dmabuf_of_heap(uint32_t flags)
{
	struct dma_heap_allocation_data data = {
		.len = PAGES * PAGE,
		.fd_flags = flags | O_CLOEXEC,
	};
	int heap = open("/dev/dma_heap/system", O_RDONLY | O_CLOEXEC);

	if (heap < 0)
		return -1;
	expect(0, ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data));
	close(heap);
	return (int)data.fd;
}

/* Of each page the device reads what @memory has, and what it writes is there. */
static void expect_reach(const struct flatiommu_dma *dma, char *memory)
{
	char copy[EDU_COPY];
	size_t at;

	for (at = 0; at < dma->length; at += 7 * PAGE) {
		fill(memory + at, EDU_COPY, (uint32_t)at + 1);
		expect(0, edu_load(regs, flatiommu_dma_address(dma, at), EDU_COPY));
		memcpy(copy, memory + at, EDU_COPY);
		memset(memory + at, 0, EDU_COPY);
		expect(0, edu_store(regs, flatiommu_dma_address(dma, at), EDU_COPY));
		assert_memory_equal(memory + at, copy, EDU_COPY);
	}
}

static void imports_memory_of_a_program(void **state)
{
	struct flatiommu_dma *dma = NULL, *again = NULL;
	int file, dmabuf, other;
	char *memory;
	size_t at;

	(void)state;
	if (!has_udmabuf())
		skip_for("this kernel has no udmabuf");
	memory = file_memory(&file);
	dmabuf = dmabuf_of(file);
	api_open_edu(EDU, &regs);
	if (!can_import()) {
		api_refused(-EFAULT, "VFIO does not attach to dma-bufs",
			    flatiommu_dmabuf_import(flat, dmabuf, NULL, &dma));
		assert_null(dma);
		goto out;
	}
	expect(0, flatiommu_dmabuf_import(flat, dmabuf, NULL, &dma));
	assert_int_equal(dma->length, PAGES * PAGE);
	for (at = 0; at < dma->length; at += PAGE)
		assert_true(flatiommu_dma_address(dma, at) == bus_address(memory + at));
	expect_reach(dma, memory);
	assert_memory_equal(dma->memory, memory, PAGES * PAGE);
	/* It is passed on as what it is. A table of its segments is for the library's own memory. */
	expect(0, flatiommu_dmabuf_export(dma, &other));
	expect(0, flatiommu_dmabuf_import(flat, other, NULL, &again));
	assert_true(flatiommu_dma_address(again, PAGE) == flatiommu_dma_address(dma, PAGE));
	close(other);
	expect(0, flatiommu_dma_free(dma));
	api_refused(-EOPNOTSUPP, "FLATIOMMU_DMA_SHARED", flatiommu_dma_export(again, &other, &other));
	/* The device has the memory without any file descriptor. */
	close(dmabuf);
	dmabuf = -1;
	expect_reach(again, memory);
	expect(0, flatiommu_dma_free(again));
out:
	close(dmabuf);
	close(file);
	munmap(memory, PAGES * PAGE);
}

static void imports_memory_of_a_heap(void **state)
{
	struct flatiommu_dma *dma = NULL;
	int dmabuf = dmabuf_of_heap(O_RDWR);
	char *memory;

	(void)state;
	if (dmabuf < 0)
		skip_for("this kernel has no heap");
	api_open_edu(EDU, &regs);
	if (can_import()) {
		expect(0, flatiommu_dmabuf_import(flat, dmabuf, NULL, &dma));
		memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, 0);
		assert_true(memory != MAP_FAILED);
		expect_reach(dma, memory);
		munmap(memory, PAGES * PAGE);
	} else {
		api_refused(-EFAULT, "VFIO does not attach to dma-bufs",
			    flatiommu_dmabuf_import(flat, dmabuf, NULL, &dma));
	}
	close(dmabuf);
}

/* What the program may only read, no device writes to. */
static void imports_what_is_read_only(void **state)
{
	const struct flatiommu_dma_options read_only = { .flags = FLATIOMMU_DMA_READ_ONLY };
	struct flatiommu_dma *dma = NULL;
	int dmabuf = dmabuf_of_heap(O_RDONLY);

	(void)state;
	if (dmabuf < 0)
		skip_for("this kernel has no heap");
	api_open_edu(EDU, &regs);
	if (can_import()) {
		api_refused(-EFAULT, "is open for reading only",
			    flatiommu_dmabuf_import(flat, dmabuf, NULL, &dma));
		assert_null(dma);
		expect(0, flatiommu_dmabuf_import(flat, dmabuf, &read_only, &dma));
		expect(0, edu_load(regs, flatiommu_dma_address(dma, PAGE), EDU_COPY));
		expect(0, flatiommu_dma_free(dma));
	}
	close(dmabuf);
}

/* Memory of a mapping is no way round it. */
static void maps_no_mapping(void **state)
{
	struct flatiommu_dma *dma = NULL;
	int dmabuf = dmabuf_of_heap(O_RDWR);
	void *memory;

	(void)state;
	if (dmabuf < 0)
		skip_for("this kernel has no heap");
	api_open(EDU);
	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, 0);
	assert_true(memory != MAP_FAILED);
	api_refused(-EFAULT, "does not pin memory of this kind",
		    flatiommu_dma_map(flat, memory, PAGE, NULL, &dma));
	munmap(memory, PAGE);
	close(dmabuf);
}

static void exports_buffers(void **state)
{
	const struct flatiommu_dma_options shared = { .flags = FLATIOMMU_DMA_SHARED };
	struct flatiommu_dma *dma = NULL, *plain = NULL;
	int dmabuf = -1;
	char *memory;

	(void)state;
	api_open_edu(EDU, &regs);
	expect(0, flatiommu_dma_alloc(flat, PAGES * PAGE, &shared, &dma));
	expect(0, flatiommu_dma_alloc(flat, PAGE, NULL, &plain));
	api_refused(-EOPNOTSUPP, "FLATIOMMU_DMA_SHARED", flatiommu_dmabuf_export(plain, &dmabuf));
	api_refused(-EINVAL, "NULL", flatiommu_dmabuf_export(dma, NULL));
	if (!has_udmabuf()) {
		api_refused(-EOPNOTSUPP, "CONFIG_UDMABUF", flatiommu_dmabuf_export(dma, &dmabuf));
		return;
	}
	expect(0, flatiommu_dmabuf_export(dma, &dmabuf));
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, 0);
	assert_true(memory != MAP_FAILED);
	expect_reach(dma, memory);
	/* It is for other drivers, and stays when the buffer goes. */
	expect(0, flatiommu_dma_free(dma));
	fill(memory, PAGES * PAGE, 3);
	assert_true(is_filled(memory, PAGES * PAGE, 3));
	munmap(memory, PAGES * PAGE);
	close(dmabuf);
}

static void refuses_what_is_none(void **state)
{
	const struct flatiommu_dma_options pages = { .pages = FLATIOMMU_PAGES_SMALL };
	struct flatiommu_dma *dma = NULL;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	api_open(EDU);
	api_refused(-EBADF, "-1", flatiommu_dmabuf_import(flat, -1, NULL, &dma));
	api_refused(-EINVAL, "no dma-buf", flatiommu_dmabuf_import(flat, null, NULL, &dma));
	api_refused(-EINVAL, "NULL", flatiommu_dmabuf_import(flat, null, NULL, NULL));
	api_refused(-EOPNOTSUPP, "only flatiommu_dma_alloc() has",
		    flatiommu_dmabuf_import(flat, null, &pages, &dma));
	assert_null(dma);
	close(null);
}

int main(void)
{
	const struct api_test tests[] = {
		API_TEST(imports_memory_of_a_program),
		API_TEST(imports_memory_of_a_heap),
		API_TEST(imports_what_is_read_only),
		API_TEST(maps_no_mapping),
		API_TEST(exports_buffers),
		API_TEST(refuses_what_is_none),
	};

	return api_run(tests, ARRAY_SIZE(tests), devices);
}
