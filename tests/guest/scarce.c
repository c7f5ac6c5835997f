// SPDX-License-Identifier: MIT
/*
 * Memory for devices of few address bits, on a machine where most memory is out of their reach, and
 * the rest is in use and fragmented: each allocation of the library succeeds.
 */
#include <errno.h>
#include <flatiommu.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"

#define PROGRAM "/flatiommu/bin/edu"
#define MIB ((size_t)1 << 20)
#define LEFT (700 * MIB)	/* for all the others */
#define STRIDE 16		/* pages, one of which is free */

static const char *const devices[] = { EDU, NULL };

static char *in_use;
static size_t size_in_use;

static size_t free_bytes(void)
{
	char text[4096], *line;

	if (read_text("/proc/meminfo", text, sizeof(text)) < 0)
		return 0;
	line = strstr(text, "MemFree:");
	return line ? (size_t)strtoul(line + 8, NULL, 10) * 1024 : 0;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* From the first node, whose low memory is taken before the other node's. What is free then is single pages. */
static int fragment(void)
{
	size_t bytes = free_bytes(), at;

	if (bytes < 6ul << 30)
		return -ENOMEM;
	size_in_use = (bytes - LEFT) & ~(MIB - 1);
	in_use = mmap(NULL, size_in_use, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (in_use == MAP_FAILED)
		return -errno;
	madvise(in_use, size_in_use, MADV_NOHUGEPAGE);
	madvise(in_use, size_in_use, MADV_DONTFORK);
	for (at = 0; at < size_in_use; at += 64 * MIB)
		if (madvise(in_use + at, size_in_use - at < 64 * MIB ? size_in_use - at : 64 * MIB,
			    MADV_POPULATE_WRITE))
			return -errno;
	for (at = 0; at < size_in_use; at += STRIDE * PAGE)
		if (madvise(in_use + at, PAGE, MADV_DONTNEED))
			return -errno;
	return 0;
}

static int begin(void **state)
{
	int ret = flat_begin(devices);

	(void)state;
	if (ret)
		return ret;
	run_on(0);
	ret = fragment();
	if (ret)
		print_error("memory in pieces: %s\n", errno_name(ret));
	return ret;
}

static int end(void **state)
{
	(void)state;
	if (in_use)
		munmap(in_use, size_in_use);
	return flat_end(devices);
}

/* Returns whether it could be had, as it was asked for. */
static bool can_have(struct flatiommu *flat, size_t length, const struct flatiommu_dma_options *options)
{
	struct flatiommu_dma *dma = NULL;
	bool good = true;
	size_t i;

	if (flatiommu_dma_alloc(flat, length, options, &dma)) {
		print_message("%s\n", flatiommu_reason(flat));
		return false;
	}
	for (i = 0; i < dma->nr_segments; i++)
		good &= dma->segments[i].address + dma->segments[i].length - 1 < 1ull << options->address_bits;
	if (options->flags & FLATIOMMU_DMA_CONTIGUOUS)
		good &= dma->nr_segments == 1;
	memset(dma->memory, 0xa5, dma->length);
	flatiommu_dma_free(dma);
	return good;
}

static struct flatiommu *flat;

static int open_edu(void **state)
{
	struct flatiommu_device *device;

	(void)state;
	return flatiommu_open(&flat) || flatiommu_device_open(flat, EDU, &device) ? -1 : 0;
}

static int close_edu(void **state)
{
	(void)state;
	flatiommu_close(flat);
	return 0;
}

static void thirty_two_bits(void **state)
{
	const size_t lengths[] = { 64, PAGE, 256 << 10, 16 << 20 };
	unsigned int had = 0, asked = 0, length, kind, n;
	int cpu;

	(void)state;
	for (cpu = 0; cpu < 2; cpu++) {
		const struct flatiommu_dma_options kinds[] = {
			{ .address_bits = 32 },
			{ .address_bits = 32, .pages = FLATIOMMU_PAGES_2M },
			{ .address_bits = 32, .pages = FLATIOMMU_PAGES_4K, .flags = FLATIOMMU_DMA_NO_FALLBACK },
			{ .address_bits = 32, .flags = FLATIOMMU_DMA_ON_NODE, .node = cpu },
		};

		run_on(cpu);
		for (kind = 0; kind < ARRAY_SIZE(kinds); kind++)
			for (length = 0; length < ARRAY_SIZE(lengths); length++)
				for (n = 0; n < 10; n++, asked++)
					had += can_have(flat, lengths[length], &kinds[kind]);
	}
	print_message("32 bits: %u of %u\n", had, asked);
	assert_int_equal(asked, 320);
	assert_int_equal(had, asked);
}

/* What rings and queues take: the kernel moves what is in the way. */
static void in_one_piece(void **state)
{
	const size_t lengths[] = { 2 * PAGE, 64 << 10, 2 << 20 };
	unsigned int had = 0, asked = 0, length, n;
	int cpu;

	(void)state;
	for (cpu = 0; cpu < 2; cpu++) {
		run_on(cpu);
		for (length = 0; length < ARRAY_SIZE(lengths); length++)
			for (n = 0; n < 10; n++, asked++)
				had += can_have(flat, lengths[length], &(struct flatiommu_dma_options){
					.address_bits = n % 2 ? 32 : 28, .flags = FLATIOMMU_DMA_CONTIGUOUS });
	}
	print_message("in one piece, 32 and 28 bits: %u of %u\n", had, asked);
	assert_int_equal(had, asked);
}

/* All of them at a time: more than the kernel keeps below 16 MiB. */
static void many_of_28_bits(void **state)
{
	const struct flatiommu_dma_options options = { .address_bits = 28 };
	struct flatiommu_dma *dma[24];
	unsigned int n;

	(void)state;
	for (n = 0; n < ARRAY_SIZE(dma); n++) {
		int ret = flatiommu_dma_alloc(flat, MIB, &options, &dma[n]);

		if (ret)
			print_message("%s\n", flatiommu_reason(flat));
		assert_int_equal(ret, 0);
		assert_true(flatiommu_dma_address(dma[n], MIB - 1) < 1ull << 28);
	}
}

/* The tutorial's program, with what it takes when it is not told otherwise: 28 bits. */
static void tutorial(void **state)
{
	unsigned int good = 0, n;

	(void)state;
	if (access(PROGRAM, X_OK))
		skip_for("the examples are not built");
	for (n = 0; n < 40; n++) {
		int status;
		pid_t pid;

		run_on((int)(n % 2));
		fflush(stdout);
		pid = fork();
		if (!pid) {
			dup2(2, 1);
			execl(PROGRAM, PROGRAM, EDU, NULL);
			_exit(127);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		good += WIFEXITED(status) && !WEXITSTATUS(status);
	}
	print_message("the tutorial's program: %u of 40\n", good);
	assert_int_equal(good, 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(thirty_two_bits, open_edu, close_edu),
		cmocka_unit_test_setup_teardown(in_one_piece, open_edu, close_edu),
		cmocka_unit_test_setup_teardown(many_of_28_bits, open_edu, close_edu),
		cmocka_unit_test(tutorial),
	};

	return run_group(tests, begin, end);
}
