// SPDX-License-Identifier: MIT
/*
 * The library and fork(): a fork succeeds without copying pinned memory, and no child does its
 * parent harm.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "devices.h"
#include "edu.h"
#include "mem.h"
#include "test.h"

#define MIB	(1ul << 20)
#define LARGE	(64 * MIB)
#define FORKS	5

static const char *const devices[] = { EDU, NULL };

static struct flatiommu_device *device;
static struct flatiommu_dma *dma;
static void *regs;

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ll + time.tv_nsec;
}

/* The shortest of some, in nanoseconds. */
static int64_t fork_time(void)
{
	int64_t best = INT64_MAX, start, time;
	pid_t pid;
	int i;

	for (i = 0; i < FORKS; i++) {
		start = now();
		pid = child_begin(nothing, NULL);
		time = now() - start;
		expect(0, child_end(pid));
		if (time < best)
			best = time;
	}
	return best;
}

/* -ENOMEM: nothing is there. */
static int look_for(void *memory)
{
	unsigned char there;

	return mincore(memory, PAGE, &there) ? -errno : 0;
}

static void copies_nothing(void **state)
{
	int64_t before, with;

	(void)state;
	device = api_open_edu(EDU, &regs);
	before = fork_time();
	expect(0, flatiommu_dma_alloc(flat, LARGE, &(struct flatiommu_dma_options){
		.pages = FLATIOMMU_PAGES_4K }, &dma));
	with = fork_time();
	print_message("  fork: %lld us without %lu MiB of DMA memory, %lld us with it\n",
		      (long long)before / 1000, LARGE / MIB, (long long)with / 1000);
	/* A copy takes half a second on an emulated processor. */
	assert_true(with < before + 200 * 1000000ll);
	expect(-ENOMEM, in_child(look_for, dma->memory));
	expect(-ENOMEM, in_child(look_for, regs));
}

/* Copies would take as many huge pages again. */
static void needs_no_huge_pages(void **state)
{
	(void)state;
	expect(0, huge_pages(8));
	device = api_open_edu(EDU, &regs);
	expect(0, flatiommu_dma_alloc(flat, 6 * HUGE_PAGE, &(struct flatiommu_dma_options){
		.pages = FLATIOMMU_PAGES_2M, .flags = FLATIOMMU_DMA_NO_FALLBACK }, &dma));
	memset(dma->memory, 1, dma->length);
	expect(0, in_child(nothing, NULL));
	flatiommu_close(flat);
	flat = NULL;
	expect(0, huge_pages(0));
}

static int close_all(void *arg)
{
	(void)arg;
	flatiommu_dma_free(dma);
	flatiommu_device_close(device);
	flatiommu_close(flat);
	return 0;
}

static void copy(uint32_t seed)
{
	char *at = dma->memory;

	fill(at, EDU_COPY, seed);
	expect(0, edu_load(regs, flatiommu_dma_address(dma, 0), EDU_COPY));
	expect(0, edu_store(regs, flatiommu_dma_address(dma, PAGE), EDU_COPY));
	assert_memory_equal(at, at + PAGE, EDU_COPY);
}

/* It goes on with its DMA, in memory that stays pinned. */
static void children_do_no_harm(void **state)
{
	uint16_t command;
	long pinned;

	(void)state;
	device = api_open_edu(EDU, &regs);
	expect(0, flatiommu_dma_alloc(flat, 2 * PAGE, NULL, &dma));
	pinned = pins();
	copy(1);
	expect(0, in_child(close_all, NULL));
	expect(0, flatiommu_config_read16(device, PCI_COMMAND, &command));
	assert_true(command & PCI_COMMAND_MASTER);
	assert_int_equal(pins(), pinned);
	copy(2);
	expect(0, flatiommu_dma_free(dma));
	expect(0, flatiommu_device_close(device));
}

int main(void)
{
	const struct api_test tests[] = {
		API_TEST(copies_nothing),
		API_TEST(needs_no_huge_pages),
		API_TEST(children_do_no_harm),
	};

	return api_run(tests, ARRAY_SIZE(tests), devices);
}
