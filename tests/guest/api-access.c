// SPDX-License-Identifier: MIT
/* The library: buffers that devices only read, or only write to. An IOMMU blocks other accesses. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api.h"
#include "devices.h"
#include "edu.h"
#include "kmsg.h"
#include "mem.h"
#include "test.h"

static const char *const devices[] = { EDU, NULL };

static const struct flatiommu_dma_options reads = { .flags = FLATIOMMU_DMA_READ_ONLY };
static const struct flatiommu_dma_options writes = { .flags = FLATIOMMU_DMA_WRITE_ONLY };

static void *regs;
static struct flatiommu_dma *plain;

static void open_edu(void)
{
	api_open_edu(EDU, &regs);
	expect(0, flatiommu_dma_alloc(flat, PAGE, NULL, &plain));
	/* The kernel reports few faults in 5 seconds, and none after them until they are over. */
	if (api_isolated())
		sleep(6);
	expect(0, log_mark());
}

static void load(const struct flatiommu_dma *from)
{
	expect(0, edu_load(regs, flatiommu_dma_address(from, 0), EDU_COPY));
}

static void store(const struct flatiommu_dma *to)
{
	expect(0, edu_store(regs, flatiommu_dma_address(to, 0), EDU_COPY));
}

static bool is_reported(void *arg)
{
	return log_count(arg) != 0;
}

/* The IOMMU has stopped an access to the buffer, and the kernel says so; nothing else was stopped. */
static void expect_fault(const char *access, const struct flatiommu_dma *dma)
{
	char address[32];

	snprintf(address, sizeof(address), "fault addr 0x%llx",
		 (unsigned long long)flatiommu_dma_address(dma, 0));
	assert_true(wait_until(is_reported, address));
	assert_non_null(strstr(log_lines(address, NULL), access));
	assert_int_equal(log_count("fault addr"), log_count(access));
}

/*
 * The access that is not allowed comes first: QEMU's IOMMU reports none to a page that it has
 * translated before.
 */
static void expect_read_only(struct flatiommu_dma *dma)
{
	fill(dma->memory, EDU_COPY, 1);
	fill(plain->memory, EDU_COPY, 2);
	load(plain);
	assert_int_equal(log_count("fault addr"), 0);
	store(dma);
	if (api_isolated())
		expect_fault("DMA Write", dma);
	assert_true(is_filled(dma->memory, EDU_COPY, api_isolated() ? 1 : 2));

	/* What the program writes later reaches the device, too. */
	fill(dma->memory, EDU_COPY, 3);
	load(dma);
	store(plain);
	assert_true(is_filled(plain->memory, EDU_COPY, 3));
	store(dma);
	assert_true(is_filled(dma->memory, EDU_COPY, 3));
}

/* Before it has page tables of a common kind, Intel's driver allows reads in each entry. */
static bool can_forbid_reads(void)
{
	return api_isolated() && kernel_is(7, 0);
}

static void expect_write_only(struct flatiommu_dma *dma)
{
	fill(dma->memory, EDU_COPY, 4);
	assert_int_equal(log_count("fault addr"), 0);
	load(dma);
	store(plain);
	assert_int_equal(is_filled(plain->memory, EDU_COPY, 4), !can_forbid_reads());
	if (can_forbid_reads())
		expect_fault("DMA Read", dma);
	assert_true(is_filled(dma->memory, EDU_COPY, 4));

	fill(plain->memory, EDU_COPY, 5);
	load(plain);
	store(dma);
	assert_true(is_filled(dma->memory, EDU_COPY, 5));
}

static void allocates_read_only(void **state)
{
	struct flatiommu_dma *dma = NULL;

	(void)state;
	open_edu();
	expect(0, flatiommu_dma_alloc(flat, PAGE, &reads, &dma));
	expect_read_only(dma);
	expect(0, flatiommu_dma_free(dma));
}

static void allocates_write_only(void **state)
{
	struct flatiommu_dma *dma = NULL;

	(void)state;
	open_edu();
	expect(0, flatiommu_dma_alloc(flat, PAGE, &writes, &dma));
	expect_write_only(dma);
	expect(0, flatiommu_dma_free(dma));
}

/* The same memory in two buffers: each has its own address behind an IOMMU, and its own access. */
static void buffers_have_access_of_their_own(void **state)
{
	struct flatiommu_dma *in = NULL, *out = NULL;
	char *memory = mem_pages(1);

	(void)state;
	assert_non_null(memory);
	open_edu();
	expect(0, flatiommu_dma_map(flat, memory, PAGE, &reads, &out));
	expect(0, flatiommu_dma_map(flat, memory, PAGE, &writes, &in));
	fill(memory, EDU_COPY, 6);
	load(out);
	memset(memory, 0, EDU_COPY);
	store(in);
	assert_true(is_filled(memory, EDU_COPY, 6));
	assert_int_equal(log_count("fault addr"), 0);
	expect(0, flatiommu_dma_free(in));
	expect(0, flatiommu_dma_free(out));
	mem_free(memory, PAGE);
}

/* The program's own memory, which it may not write to. */
static void maps_what_is_read_only(void **state)
{
	struct flatiommu_dma *dma = NULL;
	char *memory = mem_pages(1);

	(void)state;
	assert_non_null(memory);
	open_edu();
	fill(memory, EDU_COPY, 11);
	expect(0, mprotect(memory, PAGE, PROT_READ));
	api_refused(-EFAULT, "read-only", flatiommu_dma_map(flat, memory, PAGE, NULL, &dma));
	api_refused(-EFAULT, "read-only", flatiommu_dma_map(flat, memory, PAGE, &writes, &dma));
	expect(0, flatiommu_dma_map(flat, memory, PAGE, &reads, &dma));
	load(dma);
	store(plain);
	assert_memory_equal(memory, plain->memory, EDU_COPY);
	expect(0, flatiommu_dma_free(dma));
	mem_free(memory, PAGE);
}

static void refuses_neither(void **state)
{
	const struct flatiommu_dma_options neither = {
		.flags = FLATIOMMU_DMA_READ_ONLY | FLATIOMMU_DMA_WRITE_ONLY,
	};
	struct flatiommu_dma *dma = NULL;
	char byte;

	(void)state;
	api_open(EDU);
	api_refused(-EINVAL, "read-only and write-only", flatiommu_dma_alloc(flat, PAGE, &neither, &dma));
	api_refused(-EINVAL, "read-only and write-only", flatiommu_dma_map(flat, &byte, 1, &neither, &dma));
	assert_null(dma);
}

int main(void)
{
	const struct api_test tests[] = {
		API_TEST(allocates_read_only),
		API_TEST(allocates_write_only),
		API_TEST(buffers_have_access_of_their_own),
		API_TEST(maps_what_is_read_only),
		API_TEST(refuses_neither),
	};

	/* The log stays open, and each test has to close what it opens. */
	if (log_mark())
		return EXIT_FAILURE;
	return api_run(tests, ARRAY_SIZE(tests), devices);
}
