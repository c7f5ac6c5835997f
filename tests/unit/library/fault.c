// SPDX-License-Identifier: MIT
/*
 * FLATIOMMU_FAULT: buffers are mapped at their physical addresses, whatever pages they share, and
 * nothing else is.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake.h"

#define PAGE 4096ul
#define ELSEWHERE 0x40000000ul

static char *pages(size_t n)
{
	char *memory = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

static void begin(void)
{
	fake_begin(FAKE_IOMMU);
	must_open(FN0);
	CHECK(flatiommu_isolated(flat));
}

static struct flatiommu_dma *must_map(void *memory, size_t length)
{
	struct flatiommu_dma *dma = NULL;

	CHECK(!flatiommu_dma_map(flat, memory, length, NULL, &dma));
	return dma;
}

static bool is_mapped(const void *memory)
{
	return fake_is_mapped((uintptr_t)memory);
}

/* A page behind the buffer, and in front of it, devices do not reach. */
static void only_buffers(void)
{
	struct flatiommu_dma *dma;
	uint64_t at;

	begin();
	dma = must_alloc(4 * PAGE);
	at = flatiommu_dma_address(dma, 0);
	CHECK(dma->nr_segments == 1 && at == (uintptr_t)dma->memory && fake_calls->maps == 1);
	CHECK(fake_is_mapped(at) && fake_is_mapped(at + 4 * PAGE - 1));
	CHECK(!fake_is_mapped(at - 1) && !fake_is_mapped(at + 4 * PAGE));
	CHECK(!flatiommu_dma_free(dma));
	CHECK(!fake_is_mapped(at));
	fake_end();
}

static void scattered(void)
{
	char *memory = pages(4);
	struct flatiommu_dma *dma;

	begin();
	fake_page(memory + PAGE, ELSEWHERE, false);
	fake_page(memory + 2 * PAGE, ELSEWHERE + PAGE, false);
	dma = must_map(memory + 100, 4 * PAGE - 200);
	CHECK(dma->nr_segments == 3 && fake_calls->maps == 3);
	CHECK(dma->segments[0].address == (uintptr_t)memory + 100 && dma->segments[0].length == PAGE - 100);
	CHECK(dma->segments[1].address == ELSEWHERE && dma->segments[1].length == 2 * PAGE);
	CHECK(dma->segments[2].address == (uintptr_t)memory + 3 * PAGE && dma->segments[2].length == PAGE - 100);
	CHECK(flatiommu_dma_address(dma, 2 * PAGE) == ELSEWHERE + PAGE + 100);
	CHECK(!is_mapped(memory + PAGE) && fake_is_mapped(ELSEWHERE + 2 * PAGE - 1));
	fake_end();
	munmap(memory, 4 * PAGE);
}

/* A page that moves as it is pinned is mapped where it is after that. */
static void moves(void)
{
	char *memory = pages(4);
	struct flatiommu_dma *dma;

	begin();
	fake_page(memory + 2 * PAGE, ELSEWHERE, true);
	dma = must_map(memory, 4 * PAGE);
	CHECK(dma->nr_segments == 3 && dma->segments[1].address == ELSEWHERE);
	CHECK(!is_mapped(memory + 2 * PAGE) && fake_is_mapped(ELSEWHERE));
	CHECK(!flatiommu_dma_free(dma) && !fake_calls->mapped);
	fake_restless(memory + PAGE);
	CHECK(flatiommu_dma_map(flat, memory, 4 * PAGE, NULL, &dma) == -EAGAIN);
	CHECK(strstr(flatiommu_reason(flat), "moves again and again") && !fake_calls->mapped);
	fake_end();
	munmap(memory, 4 * PAGE);
}

/* A page is mapped until the last buffer that has it is freed. */
static void shared_pages(void)
{
	char *memory = pages(6);
	struct flatiommu_dma *first, *second, *third;

	begin();
	first = must_map(memory, 100);
	second = must_map(memory + 200, 100);
	CHECK(fake_calls->maps == 1 && flatiommu_dma_address(second, 0) == (uintptr_t)memory + 200);
	CHECK(!flatiommu_dma_free(first) && is_mapped(memory));
	CHECK(!flatiommu_dma_free(second) && !is_mapped(memory));

	first = must_map(memory, 4 * PAGE);
	second = must_map(memory + 2 * PAGE, 4 * PAGE);
	third = must_map(memory + PAGE, 5 * PAGE);
	CHECK(fake_calls->maps == 3 && second->nr_segments == 1 && third->nr_segments == 1);
	CHECK(!flatiommu_dma_free(first) && is_mapped(memory + 3 * PAGE) && is_mapped(memory + 5 * PAGE));
	CHECK(!flatiommu_dma_free(third) && is_mapped(memory + 2 * PAGE) && is_mapped(memory + 5 * PAGE));
	CHECK(!flatiommu_dma_free(second) && !fake_calls->mapped);
	/* in between there is another one's page */
	first = must_map(memory + 2 * PAGE, PAGE);
	second = must_map(memory, 6 * PAGE);
	CHECK(fake_calls->maps == 6 && second->nr_segments == 1);
	fake_end();
	munmap(memory, 6 * PAGE);
}

static void read_only(void)
{
	const struct flatiommu_dma_options reads = { .flags = FLATIOMMU_DMA_READ_ONLY };
	const struct flatiommu_dma_options writes = { .flags = FLATIOMMU_DMA_WRITE_ONLY };
	struct flatiommu_dma *dma, *other = NULL;
	char *memory = pages(2);

	begin();
	CHECK(!flatiommu_dma_map(flat, memory, PAGE, &reads, &dma));
	CHECK(flatiommu_dma_map(flat, memory, 2 * PAGE, NULL, &other) == -EOPNOTSUPP && !other);
	CHECK(strstr(flatiommu_reason(flat), "devices only read"));
	CHECK(!flatiommu_dma_free(dma) && !fake_calls->mapped);
	dma = must_map(memory, PAGE);
	CHECK(!flatiommu_dma_map(flat, memory, 2 * PAGE, &reads, &other) && fake_calls->maps == 3);
	fake_end();

	begin();
	CHECK(!flatiommu_dma_map(flat, memory, PAGE, &writes, &dma));
	other = NULL;
	CHECK(flatiommu_dma_map(flat, memory, PAGE, &reads, &other) == -EOPNOTSUPP && !other);
	CHECK(strstr(flatiommu_reason(flat), "devices only write to, so it cannot be in another one that they read"));
	CHECK(!flatiommu_dma_map(flat, memory, 2 * PAGE, &writes, &other));
	fake_end();
	munmap(memory, 2 * PAGE);
}

/* What the kernel did not unmap is still mapped, and another buffer has it. */
static void kept(void)
{
	char *memory = pages(2);

	begin();
	fake_unmaps(-EIO);
	CHECK(flatiommu_dma_free(must_map(memory, 2 * PAGE)) == -EIO);
	fake_unmaps(0);
	CHECK(fake_calls->maps == 1 && is_mapped(memory));
	CHECK(!flatiommu_dma_free(must_map(memory + PAGE, PAGE)));
	CHECK(fake_calls->maps == 1 && !fake_calls->mapped);
	fake_unmaps(-EIO);
	CHECK(flatiommu_dma_free(must_map(memory, PAGE)) == -EIO);
	fake_end();
	munmap(memory, 2 * PAGE);
}

static void refusals(void)
{
	struct flatiommu_device *device = NULL;
	struct flatiommu_dma *dma = NULL;
	char *memory = pages(2);

	fake_begin(FAKE_IOMMU);
	fake_last_iova((uintptr_t)memory + PAGE - 1);
	must_open(FN0);
	CHECK(flatiommu_dma_map(flat, memory, 2 * PAGE, NULL, &dma) == -ERANGE && !dma);
	CHECK(strstr(flatiommu_reason(flat), "this IOMMU does not translate") && !fake_calls->maps);
	must_map(memory, PAGE);
	fake_end();

	fake_begin(FAKE_IOMMU);
	fake_hide_pages();
	CHECK(flatiommu_device_open(flat, FN0, &device) == -EPERM);
	CHECK(strstr(flatiommu_reason(flat), "physical addresses need CAP_SYS_ADMIN"));
	setenv("FLATIOMMU_FAULT", "yes", 1);
	CHECK(flatiommu_device_open(flat, FN0, &device) == -EINVAL);
	CHECK(strstr(flatiommu_reason(flat), "FLATIOMMU_FAULT=yes"));
	setenv("FLATIOMMU_FAULT", "1", 1);
	fake_end();
	munmap(memory, 2 * PAGE);
}

/* Without an IOMMU it changes nothing. */
static void without_iommu(void)
{
	struct flatiommu_dma *dma;

	fake_begin(FAKE_FLAT);
	must_open(FN0);
	dma = must_alloc(2 * PAGE);
	CHECK(dma->nr_segments == 2);
	fake_end();
}

/* In a child the copies are freed, and nothing is unmapped. */
static int close_in_child(void)
{
	flatiommu_close(flat);
	flat = NULL;
	return fake_calls->unmaps;
}

/* The file that flatiommu run reads. */
static void log_of_buffers(void)
{
	char path[] = "/tmp/flatiommu-unit.XXXXXX", text[4096] = "", expected[256];
	char *memory = pages(2);
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	setenv("FLATIOMMU_FAULT", path, 1);
	begin();
	fake_page(memory + PAGE, ELSEWHERE, false);
	CHECK(!flatiommu_dma_free(must_map(memory + 16, PAGE)));
	CHECK(read(fd, text, sizeof(text) - 1) > 0);
	snprintf(expected, sizeof(expected), "map %d %p 0xff0 %p\nmap %d %#lx 0x10 %p\nunmap %d %p 0xff0 %p\n",
		 (int)getpid(), (void *)(memory + 16), (void *)(memory + 16), (int)getpid(), ELSEWHERE,
		 (void *)(memory + PAGE), (int)getpid(), (void *)(memory + 16), (void *)(memory + 16));
	CHECK(!strncmp(text, expected, strlen(expected)));
	fake_end();
	close(fd);
	CHECK(!unlink(path));
	/* The file is gone: it works without. */
	begin();
	must_alloc(PAGE);
	fake_end();
	setenv("FLATIOMMU_FAULT", "1", 1);
	munmap(memory, 2 * PAGE);
}

static void *map_and_free(void *arg)
{
	unsigned int i;

	for (i = 0; i < 10; i++)
		CHECK(!flatiommu_dma_free(must_map(arg, PAGE)));
	return NULL;
}

/* The thread that finds the disk full closes the file, which no other thread uses then. */
static void full_disk(void)
{
	char *memory = pages(2);
	pthread_t threads[2];
	unsigned int round, i;

	setenv("FLATIOMMU_FAULT", "/dev/full", 1);
	for (round = 0; round < 20; round++) {
		begin();
		for (i = 0; i < 2; i++)
			CHECK(!pthread_create(&threads[i], NULL, map_and_free, memory + i * PAGE));
		for (i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
		fake_end();
	}
	setenv("FLATIOMMU_FAULT", "1", 1);
	munmap(memory, 2 * PAGE);
}

int main(int argc, char **argv)
{
	(void)argc;
	setenv("FLATIOMMU_FAULT", "1", 1);
	only_buffers();
	scattered();
	moves();
	shared_pages();
	read_only();
	kept();
	refusals();
	without_iommu();
	log_of_buffers();
	full_disk();
	begin();
	must_alloc(3 * PAGE);
	/* ThreadSanitizer knows no children. */
	if (!strstr(argv[0], "tsan")) {
		CHECK(in_child(close_in_child) == 0);
		/* its copy of the device's file */
		fake_calls->closes--;
	}
	fake_end();
	return EXIT_SUCCESS;
}
