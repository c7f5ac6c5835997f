// SPDX-License-Identifier: MIT
/*
 * The cost of a buffer of the library: pinned, which is the default, and mapped by VFIO
 * (FLATIOMMU_MAP=vfio). Microseconds.
 *
 *	pinned, mapped			flatiommu_dma_map() of memory that is present
 *	pinned-free, mapped-free	flatiommu_dma_free() of it
 *	pinned-alloc, mapped-alloc	flatiommu_dma_alloc() of the same size, which clears memory
 *	clear				the clearing alone
 */
#include <errno.h>
#include <flatiommu.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "devices.h"
#include "figure.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"

#define RUNS 5
#define QUICK (16ul << 20)

static const char *const devices[] = { EDU, NULL };

static struct flatiommu *flat;

/* Two contexts: one pins, the other maps by VFIO. */
static void open_library(const char *map)
{
	struct flatiommu_device *device;

	setenv("FLATIOMMU_MAP", map, 1);
	must(flatiommu_open(&flat), "flatiommu_open");
	must(flatiommu_device_open(flat, EDU, &device), flatiommu_reason(flat));
}

static void say(const char *kind, size_t size, const char *way, const char *what, const double *took)
{
	char name[32];

	snprintf(name, sizeof(name), "%s%s", way, what);
	figure("library", kind, size, name, took, RUNS);
}

static void measure_map(const char *kind, void *memory, size_t size, const char *way)
{
	double map[RUNS], unmap[RUNS];
	struct flatiommu_dma *dma;
	int run;

	/* The first run warms up and does not count. */
	for (run = -1; run < RUNS; run++) {
		double start = now(), then, end;

		must(flatiommu_dma_map(flat, memory, size, NULL, &dma), "flatiommu_dma_map");
		then = now();
		flatiommu_dma_free(dma);
		end = now();
		if (run < 0)
			continue;
		map[run] = then - start;
		unmap[run] = end - then;
	}
	say(kind, size, way, "", map);
	say(kind, size, way, "-free", unmap);
}

static void measure_alloc(const char *kind, size_t size, const struct flatiommu_dma_options *options, const char *way)
{
	struct flatiommu_dma *dma;
	double took[RUNS];
	int run;

	for (run = 0; run < RUNS; run++) {
		double start = now();

		must(flatiommu_dma_alloc(flat, size, options, &dma), "flatiommu_dma_alloc");
		took[run] = now() - start;
		flatiommu_dma_free(dma);
	}
	say(kind, size, way, "-alloc", took);
}

static char *get_huge(size_t size)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	must(memory == MAP_FAILED ? -ENOMEM : 0, "huge pages");
	must(madvise(memory, size, MADV_POPULATE_WRITE) ? -errno : 0, "MADV_POPULATE_WRITE");
	return memory;
}

static void measure_clear(const char *kind, size_t size)
{
	double took[RUNS];
	int run;

	for (run = 0; run < RUNS; run++) {
		double start = now();
		char *memory = get_huge(size);

		took[run] = now() - start;
		munmap(memory, size);
	}
	say(kind, size, "", "clear", took);
}

static void measure(size_t size)
{
	static const char *const maps[] = { "", "vfio" }, *const ways[] = { "pinned", "mapped" };
	const struct flatiommu_dma_options huge = {
		.flags = FLATIOMMU_DMA_NO_FALLBACK, .pages = FLATIOMMU_PAGES_2M,
	};
	char *memory;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		open_library(maps[i]);
		must(huge_pages((long)(size / HUGE_PAGE)), "huge pages");
		memory = get_huge(size);
		measure_map("2 MiB", memory, size, ways[i]);
		munmap(memory, size);
		measure_alloc("2 MiB", size, &huge, ways[i]);
		if (!i)
			measure_clear("2 MiB", size);
		must(huge_pages(0), "huge pages");
		memory = mem_file_scattered(size / PAGE);
		must(memory ? 0 : -ENOMEM, "memory");
		measure_map("4 KiB", memory, size, ways[i]);
		munmap(memory, size);
		flatiommu_close(flat);
	}
}

int main(void)
{
	static const size_t sizes[] = { 16ul << 20, 256ul << 20, 1ul << 30 };
	size_t i;

	must(flat_begin(devices), "the module");
	for (i = 0; i < ARRAY_SIZE(sizes) && (!is_quick() || sizes[i] <= QUICK); i++)
		measure(sizes[i]);
	must(flat_end(devices), "the end");
	printf("ok 1 - measured\n1..1\n");
	return 0;
}
