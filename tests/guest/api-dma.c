// SPDX-License-Identifier: MIT
/* The library: buffers, their segments, and gather lists for devices. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api.h"
#include "devices.h"
#include "edu.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define ENTRY_LIMIT "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

static const char *const devices[] = { EDU, NULL };

static void *regs;

static void open_edu(void)
{
	api_open_edu(EDU, &regs);
}

static struct flatiommu_dma *alloc(size_t length, const struct flatiommu_dma_options *options)
{
	struct flatiommu_dma *dma = NULL;
	int ret = flatiommu_dma_alloc(flat, length, options, &dma);

	if (ret)
		print_error("%s\n", flatiommu_reason(flat));
	assert_int_equal(ret, 0);
	return dma;
}

/* The device reads and writes the buffer where it says that it is, if need be piece by piece. */
static void expect_reach(const struct flatiommu_dma *dma, size_t offset, size_t size)
{
	struct flatiommu_dma_segment segments[4];
	char *at = (char *)dma->memory + offset, copy[EDU_COPY];
	size_t n = ARRAY_SIZE(segments), i;

	assert_true(size <= EDU_COPY);
	expect(0, flatiommu_dma_gather(dma, offset, size, NULL, segments, &n));
	fill(copy, size, (uint32_t)offset + 1);
	memcpy(at, copy, size);
	for (i = 0; i < n; i++) {
		expect(0, edu_load(regs, segments[i].address, segments[i].length));
		memset(at, 0, segments[i].length);
		expect(0, edu_store(regs, segments[i].address, segments[i].length));
		at += segments[i].length;
	}
	assert_memory_equal((char *)dma->memory + offset, copy, size);
}

/* Segments are in order, have no gaps, could not be fewer, and agree with each offset's address. */
static void expect_sound(const struct flatiommu_dma *dma)
{
	const struct flatiommu_dma_segment *s = dma->segments;
	size_t at = 0, i;

	assert_true(dma->nr_segments > 0);
	for (i = 0; i < dma->nr_segments; i++) {
		assert_true(s[i].length > 0);
		assert_true(!i || s[i - 1].address + s[i - 1].length != s[i].address);
		assert_int_equal(flatiommu_dma_address(dma, at), s[i].address);
		at += s[i].length;
		assert_int_equal(flatiommu_dma_address(dma, at - 1), s[i].address + s[i].length - 1);
	}
	assert_int_equal(at, dma->length);
	assert_true(flatiommu_dma_address(dma, dma->length) == UINT64_MAX);
	assert_true(flatiommu_dma_address(dma, SIZE_MAX) == UINT64_MAX);
	if (api_isolated())
		assert_int_equal(dma->nr_segments, 1);
}

/* By a second opinion. */
static void expect_bus_addresses(const struct flatiommu_dma *dma)
{
	size_t offset;

	for (offset = 0; offset < dma->length && !api_isolated(); offset += PAGE)
		assert_int_equal(flatiommu_dma_address(dma, offset),
				 bus_address((char *)dma->memory + offset));
}

static void allocates(void **state)
{
	static const size_t sizes[] = { 1, 2048, 4095, 4096, 4097, 65536, (1 << 20) - 3, 1 << 20, 5 << 20 };
	size_t i;

	(void)state;
	open_edu();
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct flatiommu_dma *dma = alloc(sizes[i], NULL);
		char *memory = dma->memory;

		assert_int_equal(dma->length, sizes[i]);
		assert_int_equal(memory[0], 0);
		assert_int_equal(memory[sizes[i] - 1], 0);
		expect_sound(dma);
		expect_bus_addresses(dma);
		if (sizes[i] >= 2048) {
			expect_reach(dma, 0, EDU_COPY);
			expect_reach(dma, sizes[i] - EDU_COPY, EDU_COPY);
		}
		if (i % 2)
			flatiommu_dma_free(dma);
	}
}

static void allocates_each_kind(void **state)
{
	struct flatiommu_dma_options options = { .flags = FLATIOMMU_DMA_NO_FALLBACK };
	struct flatiommu_dma *dma = NULL;

	(void)state;
	open_edu();
	options.pages = FLATIOMMU_PAGES_2M;
	api_refused(-ENOMEM, "nr_hugepages", flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	options.flags = 0;
	dma = alloc(3 * PAGE, &options);
	assert_int_equal(dma->page_size, PAGE);
	flatiommu_dma_free(dma);
	/* Any pages are any, also without a fallback. */
	options.pages = FLATIOMMU_PAGES_ANY;
	options.flags = FLATIOMMU_DMA_NO_FALLBACK;
	dma = alloc(HUGE_PAGE, &options);
	assert_int_equal(dma->page_size, PAGE);
	flatiommu_dma_free(dma);
	options.pages = FLATIOMMU_PAGES_2M;

	expect(0, huge_pages(4));
	options.flags = FLATIOMMU_DMA_NO_FALLBACK;
	dma = alloc(HUGE_PAGE + 1, &options);
	assert_int_equal(dma->page_size, HUGE_PAGE);
	assert_true(dma->nr_segments <= 2);
	expect_sound(dma);
	expect_bus_addresses(dma);
	expect_reach(dma, HUGE_PAGE - EDU_COPY, EDU_COPY);
	/* Two are left, but not three. */
	struct flatiommu_dma *more = NULL;

	api_refused(-ENOMEM, "of them free. Cure: sysctl vm.nr_hugepages", flatiommu_dma_alloc(flat, 2 * HUGE_PAGE + 1, &options, &more));
	assert_null(more);
	flatiommu_dma_free(dma);

	/* Any pages are huge ones where that pays. */
	dma = alloc(HUGE_PAGE / 2, NULL);
	assert_int_equal(dma->page_size, HUGE_PAGE);
	flatiommu_dma_free(dma);
	dma = alloc(HUGE_PAGE / 2 - 1, NULL);
	assert_int_equal(dma->page_size, PAGE);
	flatiommu_dma_free(dma);

	options.pages = FLATIOMMU_PAGES_TRANSPARENT;
	dma = alloc(2 * HUGE_PAGE, &options);
	assert_int_equal((uintptr_t)dma->memory % HUGE_PAGE, 0);
	assert_int_equal(dma->page_size, PAGE);
	expect_sound(dma);
	expect_reach(dma, HUGE_PAGE - EDU_COPY / 2, EDU_COPY);
	flatiommu_dma_free(dma);
	options.pages = FLATIOMMU_PAGES_4K;
	dma = alloc(HUGE_PAGE, &options);
	assert_int_equal(dma->page_size, PAGE);
	expect_sound(dma);
	flatiommu_dma_free(dma);
}

static void allocates_giant_pages(void **state)
{
	const struct flatiommu_dma_options options = {
		.flags = FLATIOMMU_DMA_NO_FALLBACK,
		.pages = FLATIOMMU_PAGES_1G,
	};
	struct flatiommu_dma *dma = NULL;

	(void)state;
	open_edu();
	if (!mem_has_giant()) {
		api_refused(-ENOMEM, "1 GiB", flatiommu_dma_alloc(flat, PAGE, &options, &dma));
		return;
	}
	dma = alloc(GIANT_PAGE, &options);
	assert_int_equal(dma->page_size, GIANT_PAGE);
	assert_int_equal(dma->nr_segments, 1);
	expect_reach(dma, GIANT_PAGE - EDU_COPY, EDU_COPY);
}

static void allocates_in_one_piece(void **state)
{
	const struct flatiommu_dma_options one = { .flags = FLATIOMMU_DMA_CONTIGUOUS };
	struct flatiommu_dma *dma = NULL;
	int ret;

	(void)state;
	open_edu();
	dma = alloc(PAGE, &one);
	assert_int_equal(dma->nr_segments, 1);
	expect(0, huge_pages(4));
	dma = alloc(64 * PAGE, &one);
	assert_int_equal(dma->nr_segments, 1);
	expect_sound(dma);
	expect_reach(dma, 32 * PAGE, EDU_COPY);
	if (api_isolated())
		return;
	/* More than any page has: the kernel may have it in one piece, or there is none. */
	dma = NULL;
	ret = flatiommu_dma_alloc(flat, GIANT_PAGE + 1, &one, &dma);
	if (ret) {
		api_refused(-ENOMEM, "consecutive", ret);
		assert_null(dma);
	} else {
		assert_int_equal(dma->nr_segments, 1);
	}
}

static int node_of(void *addr)
{
	int node = -1;

	if (syscall(SYS_get_mempolicy, &node, NULL, 0, addr, MPOL_F_NODE | MPOL_F_ADDR))
		return -errno;
	return node;
}

static void allocates_on_a_node(void **state)
{
	struct flatiommu_dma_options options = {
		.flags = FLATIOMMU_DMA_ON_NODE | FLATIOMMU_DMA_NO_FALLBACK,
		.pages = FLATIOMMU_PAGES_4K,
	};
	struct flatiommu_dma *dma = NULL;
	int nodes = access("/sys/devices/system/node/node1", F_OK) ? 1 : 2;

	(void)state;
	open_edu();
	for (options.node = 0; options.node < nodes; options.node++) {
		dma = alloc(16 * PAGE, &options);
		/* A kernel without nodes knows of none. */
		if (node_of(dma->memory) == -ENOSYS)
			return;
		expect(options.node, node_of(dma->memory));
		expect(options.node, node_of((char *)dma->memory + 15 * PAGE));
	}
	dma = NULL;
	options.node = 17;
	api_refused(-EINVAL, "", flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	options.node = -1;
	api_refused(-EINVAL, "", flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	options.node = 5000;
	api_refused(-EINVAL, "", flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	assert_null(dma);
}

static void stays_within_address_bits(void **state)
{
	struct flatiommu_dma_options options = { .address_bits = 32 };
	struct flatiommu_dma *dma = NULL;
	int ret;

	(void)state;
	open_edu();
	dma = alloc(PAGE, NULL);
	if (api_isolated())
		assert_true(flatiommu_dma_address(dma, 0) >= 1ull << 32);
	/* Memory within reach, or it says that there is none. */
	expect(0, huge_pages(16));
	dma = NULL;
	ret = flatiommu_dma_alloc(flat, 3 * PAGE, &options, &dma);
	if (ret) {
		assert_false(api_isolated());
		expect(-ERANGE, ret);
		assert_non_null(strstr(flatiommu_reason(flat), "32 address bits"));
	} else {
		assert_true(flatiommu_dma_address(dma, dma->length - 1) < 1ull << 32);
		expect_reach(dma, 0, EDU_COPY);
	}
	options.address_bits = 17;
	options.pages = FLATIOMMU_PAGES_4K;
	options.flags = FLATIOMMU_DMA_NO_FALLBACK;
	dma = NULL;
	if (api_isolated()) {
		dma = alloc(2 * PAGE, &options);
		assert_true(flatiommu_dma_address(dma, dma->length - 1) < 1ull << 17);
		dma = NULL;
		api_refused(-ERANGE, "no IOVAs below 0x20000",
			    flatiommu_dma_alloc(flat, 16 * PAGE, &options, &dma));
	} else {
		api_refused(-ERANGE, "17 address bits", flatiommu_dma_alloc(flat, 2 * PAGE, &options, &dma));
	}
	assert_null(dma);
}

static void maps_scattered_memory(void **state)
{
	const size_t count = 4096;
	char *memory = mem_scattered(count);
	struct flatiommu_dma *dma = NULL;
	size_t i;

	(void)state;
	assert_non_null(memory);
	open_edu();
	expect(0, flatiommu_dma_map(flat, memory, count * PAGE, NULL, &dma));
	assert_ptr_equal(dma->memory, memory);
	expect_sound(dma);
	expect_bus_addresses(dma);
	if (!api_isolated())
		assert_int_equal(dma->nr_segments, mem_runs(memory, count));
	for (i = 0; i < count; i += 97)
		expect_reach(dma, i * PAGE, EDU_COPY);
	flatiommu_dma_free(dma);
	mem_free(memory, count * PAGE);
}

/* Not whole pages, and pages of which several buffers have parts. */
static void maps_parts_of_pages(void **state)
{
	char *memory = mem_scattered(4);
	struct flatiommu_dma *first = NULL, *second = NULL, *third = NULL;

	(void)state;
	assert_non_null(memory);
	open_edu();
	expect(0, flatiommu_dma_map(flat, memory + 100, 100, NULL, &first));
	expect(0, flatiommu_dma_map(flat, memory + 2000, 2 * PAGE, NULL, &second));
	expect(0, flatiommu_dma_map(flat, memory, 4 * PAGE, NULL, &third));
	expect_sound(first);
	expect_sound(second);
	expect_sound(third);
	if (!api_isolated()) {
		assert_int_equal(flatiommu_dma_address(first, 0), bus_address(memory) + 100);
		assert_int_equal(flatiommu_dma_address(second, PAGE), bus_address(memory + PAGE) + 2000);
		assert_int_equal(second->nr_segments, 3);
	}
	expect_reach(first, 0, 100);
	expect_reach(second, 2 * PAGE - 1000, 1000);
	expect_reach(third, 3 * PAGE, EDU_COPY);
	/* What one of them gives back the others still have. */
	flatiommu_dma_free(second);
	expect_reach(first, 0, 100);
	expect_reach(third, PAGE, EDU_COPY);
	flatiommu_dma_free(third);
	expect_reach(first, 0, 100);
	flatiommu_dma_free(first);
	mem_free(memory, 4 * PAGE);
}

static void refuses_bad_memory(void **state)
{
	const struct flatiommu_dma_options nowhere = {
		.flags = FLATIOMMU_DMA_ON_NODE | FLATIOMMU_DMA_CONTIGUOUS, .node = -1 };
	char *memory = mem_pages(2), *readonly;
	struct flatiommu_dma *dma = NULL;

	(void)state;
	api_refused(-ENODEV, "open a device first", flatiommu_dma_alloc(flat, PAGE, NULL, &dma));
	/* Nothing is filled before that is known. */
	api_refused(-ENODEV, "open a device first", flatiommu_dma_alloc(flat, 1ul << 46, NULL, &dma));
	api_refused(-ENODEV, "open a device first", flatiommu_dma_map(flat, memory, PAGE, NULL, &dma));
	open_edu();
	api_refused(-EINVAL, "node -1", flatiommu_dma_alloc(flat, 2 * PAGE, &nowhere, &dma));
	munmap(memory + PAGE, PAGE);
	api_refused(-EFAULT, "not all of it is mapped", flatiommu_dma_map(flat, memory, 2 * PAGE, NULL, &dma));
	api_refused(-EFAULT, "not all of it is mapped", flatiommu_dma_map(flat, memory + PAGE, 1, NULL, &dma));
	readonly = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	api_refused(-EFAULT, "some of it is read-only", flatiommu_dma_map(flat, readonly, PAGE, NULL, &dma));
	munmap(readonly, PAGE);
	assert_null(dma);
	mem_free(memory, PAGE);
}

static void refuses_bad_options(void **state)
{
	struct flatiommu_dma_options options = { .flags = 0x80 };
	struct flatiommu_dma *dma = NULL;
	char byte;

	(void)state;
	open_edu();
	api_refused(-EOPNOTSUPP, "0x80", flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	options = (struct flatiommu_dma_options){ .reserved = { 0, 1 } };
	api_refused(-EOPNOTSUPP, "reserved", flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	options = (struct flatiommu_dma_options){ .pages = 5 };
	api_refused(-EINVAL, "pages 5", flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	options = (struct flatiommu_dma_options){ .address_bits = 11 };
	api_refused(-EINVAL, "address_bits 11", flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	options = (struct flatiommu_dma_options){ .address_bits = 65 };
	api_refused(-EINVAL, "address_bits 65", flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	api_refused(-EINVAL, "0 bytes", flatiommu_dma_alloc(flat, 0, NULL, &dma));
	api_refused(-EINVAL, "0 bytes", flatiommu_dma_map(flat, &byte, 0, NULL, &dma));
	api_refused(-EINVAL, "flatiommu_dma_map", flatiommu_dma_map(flat, &byte, SIZE_MAX, NULL, &dma));
	api_refused(-EINVAL, "flatiommu_dma_map", flatiommu_dma_map(flat, NULL, 1, NULL, &dma));
	api_refused(-ENOMEM, "", flatiommu_dma_alloc(flat, SIZE_MAX, NULL, &dma));
	api_refused(-ENOMEM, "", flatiommu_dma_alloc(flat, (size_t)1 << 46, NULL, &dma));
	assert_null(dma);
}

static void respects_memlock(void **state)
{
	(void)state;
	expect(-ENOMEM, in_child(api_exceed_memlock, NULL));
}

#define CGROUP "/tmp/api-cgroup"
#define MIB ((size_t)1 << 20)

/* Reads a disk until the cgroup has so much. The kernel may take memory of files back. */
static int fill_with_files(size_t size)
{
	int disk = open("/dev/vda", O_RDONLY | O_CLOEXEC), ret = 0;
	char block[65536];

	posix_fadvise(disk, 0, 0, POSIX_FADV_DONTNEED);
	while (!ret && read_number(CGROUP "/pod/memory.current") < (long)size)
		ret = read(disk, block, sizeof(block)) > 0 ? 0 : -ENODATA;
	close(disk);
	return ret;
}

/* Of 64 MiB that the cgroup above this one has. More than that would be this process's end. */
static int alloc_in_cgroup(void *arg)
{
	struct flatiommu_device *device;
	struct flatiommu_dma *dma = NULL;
	int ret = write_text(CGROUP "/pod/inner/cgroup.procs", "0");

	(void)arg;
	if (!ret)
		ret = flatiommu_open(&flat);
	if (!ret)
		ret = flatiommu_device_open(flat, EDU, &device);
	if (ret)
		return ret;
	ret = flatiommu_dma_alloc(flat, 128 * MIB, NULL, &dma);
	if (ret != -ENOMEM || !strstr(flatiommu_reason(flat), CGROUP "/pod/memory.max leaves"))
		return ret ? -EBADMSG : -EFBIG;
	if (read_number(CGROUP "/pod/memory.current") > (long)(32 * MIB))
		return -EDQUOT;
	/* Memory of files is no obstacle. */
	ret = fill_with_files(56 * MIB);
	if (!ret)
		ret = flatiommu_dma_alloc(flat, 32 * MIB, NULL, &dma);
	flatiommu_close(flat);
	return ret;
}

static void respects_cgroups(void **state)
{
	bool mounted;

	(void)state;
	mkdir(CGROUP, 0700);
	mounted = !mount("cgroup2", CGROUP, "cgroup2", 0, NULL);
	if (!mounted || write_text(CGROUP "/cgroup.subtree_control", "+memory") ||
	    mkdir(CGROUP "/pod", 0700)) {
		if (mounted)
			umount(CGROUP);
		rmdir(CGROUP);
		skip_for("no memory cgroups are to be had");
	}
	expect(0, write_text(CGROUP "/pod/memory.max", "64M"));
	mkdir(CGROUP "/pod/inner", 0700);
	expect(0, in_child(alloc_in_cgroup, NULL));
	rmdir(CGROUP "/pod/inner");
	rmdir(CGROUP "/pod");
	write_text(CGROUP "/cgroup.subtree_control", "-memory");
	assert_int_equal(umount(CGROUP), 0);
	rmdir(CGROUP);
}

/* type1's own limit, read as a container is opened. */
static void respects_mapping_limit(void **state)
{
	struct flatiommu_dma *dma = NULL;
	char before[16];
	int i, ret = 0;

	(void)state;
	if (!api_is("type1"))
		skip_for("only type1 has a limit on maps");
	expect_good(read_text(ENTRY_LIMIT, before, sizeof(before)));
	expect(0, write_text(ENTRY_LIMIT, "4"));
	/* Pins are no maps. */
	setenv("FLATIOMMU_MAP", "vfio", 1);
	open_edu();
	expect(0, write_text(ENTRY_LIMIT, before));
	for (i = 0; i < 5 && !ret; i++)
		ret = flatiommu_dma_alloc(flat, PAGE, NULL, &dma);
	api_refused(-ENOSPC, "dma_entry_limit", ret);
	assert_int_equal(i, 5);
	flatiommu_dma_free(dma);
	dma = alloc(PAGE, NULL);
}

/* VFIO does what /dev/flatiommu does otherwise, and with it what that cannot do. */
static void maps_with_vfio(void **state)
{
	char *memory = mem_scattered(16);
	struct flatiommu_dma *dma = NULL;
	struct flatiommu_device *edu;
	void *bar;

	(void)state;
	assert_non_null(memory);
	setenv("FLATIOMMU_MAP", "vfio", 1);
	open_edu();
	expect(0, flatiommu_dma_map(flat, memory, 16 * PAGE, NULL, &dma));
	expect_sound(dma);
	expect_bus_addresses(dma);
	expect_reach(dma, 5 * PAGE, EDU_COPY);
	flatiommu_dma_free(dma);
	setenv("FLATIOMMU_MAP", "no", 1);
	flatiommu_close(flat);
	expect(0, flatiommu_open(&flat));
	if (api_is("flatiommu-") || api_is("noiommu-group")) {
		api_refused(-EINVAL, "FLATIOMMU_MAP=no", flatiommu_device_open(flat, EDU, &edu));
		unsetenv("FLATIOMMU_MAP");
	}
	/* A BAR cannot be pinned; type1 maps it. */
	edu = api_open_edu(EDU, &regs);
	bar = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, flatiommu_device_fd(edu), 0);
	assert_ptr_not_equal(bar, MAP_FAILED);
	if (api_is("type1")) {
		expect(0, flatiommu_dma_map(flat, bar, PAGE, NULL, &dma));
		flatiommu_dma_free(dma);
	}
	munmap(bar, PAGE);
	mem_free(memory, 16 * PAGE);
}

/* Memory stays while the device goes and comes again, and with it the pins. */
static void stays_when_the_device_goes(void **state)
{
	struct flatiommu_device *edu;
	struct flatiommu_dma *dma;
	uint64_t address;
	long held;

	(void)state;
	edu = api_open_edu(EDU, &regs);
	dma = alloc(16 * PAGE, NULL);
	address = flatiommu_dma_address(dma, 0);
	held = pins();
	flatiommu_device_close(edu);
	assert_int_equal(pins(), held);
	edu = api_open_edu(EDU, &regs);
	assert_int_equal(pins(), held);
	assert_int_equal(flatiommu_dma_address(dma, 0), address);
	expect_reach(dma, 3 * PAGE, EDU_COPY);
	flatiommu_dma_free(dma);
	expect(0, flatiommu_bus_master(edu, true));
}

static void gathers(void **state)
{
	const size_t count = 8;
	char *memory = mem_scattered(count);
	struct flatiommu_dma_limits limits = { .boundary = PAGE };
	struct flatiommu_dma_segment segments[64];
	struct flatiommu_dma *dma = NULL;
	size_t n, i, at;

	(void)state;
	open_edu();
	expect(0, flatiommu_dma_map(flat, memory, count * PAGE, NULL, &dma));

	n = ARRAY_SIZE(segments);
	expect(0, flatiommu_dma_gather(dma, 0, dma->length, NULL, segments, &n));
	assert_int_equal(n, dma->nr_segments);
	assert_memory_equal(segments, dma->segments, n * sizeof(*segments));

	/* As NVMe's PRPs: the first may begin within a page. */
	n = ARRAY_SIZE(segments);
	expect(0, flatiommu_dma_gather(dma, 100, 2 * PAGE, &limits, segments, &n));
	assert_int_equal(n, 3);
	for (i = 0, at = 100; i < n; at += segments[i++].length) {
		assert_int_equal(segments[i].address, flatiommu_dma_address(dma, at));
		assert_true(!i || segments[i].address % PAGE == 0);
	}
	assert_int_equal(at, 100 + 2 * PAGE);

	limits = (struct flatiommu_dma_limits){ .max_length = 1000 };
	n = ARRAY_SIZE(segments);
	expect(0, flatiommu_dma_gather(dma, PAGE, PAGE, &limits, segments, &n));
	assert_int_equal(n, 5);
	assert_int_equal(segments[4].length, PAGE - 4000);
	assert_int_equal(segments[4].address, flatiommu_dma_address(dma, PAGE + 4000));

	/* The array is too short: it says how long one would do. */
	n = 2;
	expect(-ENOSPC, flatiommu_dma_gather(dma, PAGE, PAGE, &limits, segments, &n));
	assert_int_equal(n, 5);
	n = 0;
	expect(-ENOSPC, flatiommu_dma_gather(dma, 5, 1, NULL, segments, &n));
	assert_int_equal(n, 1);

	limits = (struct flatiommu_dma_limits){ .alignment = 4 };
	n = ARRAY_SIZE(segments);
	expect(0, flatiommu_dma_gather(dma, 8, 16, &limits, segments, &n));
	expect(-EADDRNOTAVAIL, flatiommu_dma_gather(dma, 2, 16, &limits, segments, &n));
	expect(-EADDRNOTAVAIL, flatiommu_dma_gather(dma, 8, 15, &limits, segments, &n));

	/* What is cut is cut so that the next one is aligned, too. */
	limits = (struct flatiommu_dma_limits){ .max_length = 1023, .alignment = 4 };
	n = ARRAY_SIZE(segments);
	expect(0, flatiommu_dma_gather(dma, 0, PAGE, &limits, segments, &n));
	assert_int_equal(n, 5);
	assert_int_equal(segments[0].length, 1020);
	assert_int_equal(segments[4].length, PAGE - 4 * 1020);
	limits.max_length = 3;
	expect(-EINVAL, flatiommu_dma_gather(dma, 0, PAGE, &limits, segments, &n));
	limits = (struct flatiommu_dma_limits){ .boundary = 2, .alignment = 4 };
	expect(-EINVAL, flatiommu_dma_gather(dma, 0, PAGE, &limits, segments, &n));

	limits = (struct flatiommu_dma_limits){ .address_bits = 13 };
	expect(-ERANGE, flatiommu_dma_gather(dma, 0, PAGE, &limits, segments, &n));
	limits.address_bits = 64;
	expect(0, flatiommu_dma_gather(dma, 0, 1, &limits, segments, &n));

	limits = (struct flatiommu_dma_limits){ .boundary = 4095 };
	expect(-EINVAL, flatiommu_dma_gather(dma, 0, 1, &limits, segments, &n));
	limits = (struct flatiommu_dma_limits){ .alignment = 3 };
	expect(-EINVAL, flatiommu_dma_gather(dma, 0, 1, &limits, segments, &n));
	limits = (struct flatiommu_dma_limits){ .address_bits = 65 };
	expect(-EINVAL, flatiommu_dma_gather(dma, 0, 1, &limits, segments, &n));
	limits = (struct flatiommu_dma_limits){ .reserved = { 1 } };
	expect(-EOPNOTSUPP, flatiommu_dma_gather(dma, 0, 1, &limits, segments, &n));
	expect(-EINVAL, flatiommu_dma_gather(dma, 0, 0, NULL, segments, &n));
	expect(-EINVAL, flatiommu_dma_gather(dma, dma->length, 1, NULL, segments, &n));
	expect(-EINVAL, flatiommu_dma_gather(dma, 1, dma->length, NULL, segments, &n));
	expect(-EINVAL, flatiommu_dma_gather(dma, SIZE_MAX, 2, NULL, segments, &n));
	flatiommu_dma_free(dma);
	mem_free(memory, count * PAGE);
}

static struct flatiommu_dma *shared(enum flatiommu_dma_pages pages, size_t length)
{
	return alloc(length, &(struct flatiommu_dma_options){
		.flags = FLATIOMMU_DMA_SHARED | FLATIOMMU_DMA_NO_FALLBACK, .pages = pages });
}

/* What one process has of it, the other has, too; devices reach both. */
static void shares_buffers(void **state)
{
	static const enum flatiommu_dma_pages kinds[] = {
		FLATIOMMU_PAGES_4K, FLATIOMMU_PAGES_2M, FLATIOMMU_PAGES_TRANSPARENT
	};
	struct flatiommu_dma *dma, *copy = NULL;
	int memory, table;
	size_t i;

	(void)state;
	open_edu();
	expect(0, huge_pages(4));
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		dma = shared(kinds[i], 16 * PAGE - 5);
		expect_sound(dma);
		expect_bus_addresses(dma);
		expect(0, flatiommu_dma_export(dma, &memory, &table));
		expect(0, flatiommu_dma_import(memory, table, &copy));
		close(memory);
		close(table);
		assert_ptr_not_equal(copy->memory, dma->memory);
		assert_int_equal(copy->length, dma->length);
		assert_int_equal(copy->page_size, dma->page_size);
		assert_int_equal(copy->nr_segments, dma->nr_segments);
		expect_sound(copy);
		expect_reach(copy, 3 * PAGE, EDU_COPY);
		assert_memory_equal((char *)copy->memory + 3 * PAGE, (char *)dma->memory + 3 * PAGE, EDU_COPY);
		expect(-EINVAL, flatiommu_dma_export(copy, &memory, &table));
		flatiommu_dma_free(copy);
		expect_reach(dma, 0, EDU_COPY);
		flatiommu_dma_free(dma);
	}
	dma = alloc(PAGE, NULL);
	api_refused(-EOPNOTSUPP, "FLATIOMMU_DMA_SHARED", flatiommu_dma_export(dma, &memory, &table));
}

/* A file like the table, but for what @change does to it. */
static int forge(int table, size_t at, uint64_t value, unsigned int seals)
{
	int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct stat st;
	char data[512];

	fstat(table, &st);
	assert_true((size_t)st.st_size <= sizeof(data));
	assert_int_equal(pread(table, data, (size_t)st.st_size, 0), st.st_size);
	memcpy(data + at, &value, sizeof(value));
	assert_int_equal(write(fd, data, (size_t)st.st_size), st.st_size);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void believes_no_forgery(void **state)
{
	const unsigned int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	static const struct {
		size_t at;
		uint64_t value;
	} changes[] = {
		{ 0, 0 },			/* magic */
		{ 8, 0 }, { 8, 5 }, { 8, UINT64_MAX },	/* length */
		{ 16, 1 }, { 16, UINT64_MAX },	/* span */
		{ 32, 0 }, { 32, 1000000 }, { 32, UINT64_MAX },	/* segments */
		{ 40, 0xdead }, { 48, 0xdead },	/* the file */
		{ 64, 0 }, { 64, UINT64_MAX },	/* length of the first */
	};
	struct flatiommu_dma *dma, *copy = NULL;
	int memory, table, forged, null;
	size_t i;

	(void)state;
	open_edu();
	dma = shared(FLATIOMMU_PAGES_4K, 2 * PAGE);
	expect(0, flatiommu_dma_export(dma, &memory, &table));
	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		forged = forge(table, changes[i].at, changes[i].value, seals);
		expect(-EBADMSG, flatiommu_dma_import(memory, forged, &copy));
		close(forged);
	}
	/* As it was, but somebody could change it later. */
	forged = forge(table, 8, 2 * PAGE, seals & ~F_SEAL_WRITE);
	expect(-EBADMSG, flatiommu_dma_import(memory, forged, &copy));
	close(forged);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	expect(-EBADMSG, flatiommu_dma_import(null, table, &copy));
	expect(-EBADMSG, flatiommu_dma_import(memory, null, &copy));
	expect(-EBADMSG, flatiommu_dma_import(table, table, &copy));
	expect(-EBADMSG, flatiommu_dma_import(memory, memory, &copy));
	expect(-EBADF, flatiommu_dma_import(-1, table, &copy));
	expect(-EBADF, flatiommu_dma_import(memory, -1, &copy));
	expect(-EINVAL, flatiommu_dma_import(memory, table, NULL));
	assert_null(copy);
	/* Nobody can take the memory away from under the device. */
	assert_int_equal(ftruncate(memory, 0), -1);
	close(null);
	close(memory);
	close(table);
}

/* Buffers come and go in any order: IOVAs are used again, and no two are the same. */
static void comes_and_goes(void **state)
{
	struct flatiommu_dma *held[16] = { 0 };
	unsigned int seed = 12345, i, k;

	(void)state;
	open_edu();
	for (i = 0; i < 300; i++) {
		unsigned int slot;

		seed = seed * 1103515245 + 12345;
		slot = seed >> 16 & 15;
		flatiommu_dma_free(held[slot]);
		held[slot] = alloc(((seed >> 20 & 31) + 1) * PAGE, NULL);
		for (k = 0; k < 16; k++)
			assert_true(k == slot || !held[k] || flatiommu_dma_address(held[k], 0) !=
				    flatiommu_dma_address(held[slot], 0));
		if (i % 16 == 0)
			expect_reach(held[slot], 0, EDU_COPY);
	}
}

int main(void)
{
	const struct api_test tests[] = {
		API_TEST(allocates),
		API_TEST(allocates_each_kind),
		API_TEST(allocates_giant_pages),
		API_TEST(allocates_in_one_piece),
		API_TEST(allocates_on_a_node),
		API_TEST(stays_within_address_bits),
		API_TEST(maps_scattered_memory),
		API_TEST(maps_parts_of_pages),
		API_TEST(refuses_bad_memory),
		API_TEST(refuses_bad_options),
		API_TEST(respects_memlock),
		API_TEST(respects_cgroups),
		API_TEST(respects_mapping_limit),
		API_TEST(maps_with_vfio),
		API_TEST(stays_when_the_device_goes),
		API_TEST(gathers),
		API_TEST(shares_buffers),
		API_TEST(believes_no_forgery),
		API_TEST(comes_and_goes),
	};

	return api_run(tests, ARRAY_SIZE(tests), devices);
}
