// SPDX-License-Identifier: MIT
/*
 * Limits are looked at before memory is filled, and what cannot be pinned is not tried with other
 * pages.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fake.h"

#define MIB (1ul << 20)

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	CHECK(!syscall(SYS_capset, &header, none));
}

/* Bytes that the process had at most. */
static size_t peak(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (size_t)usage.ru_maxrss << 10;
}

static int exceed_memlock(void)
{
	struct flatiommu_dma *dma = NULL;
	size_t before;

	fake_begin(FAKE_IOMMU);
	must_open(FN0);
	fake_memlock(8 * MIB);
	drop_capabilities();
	before = peak();
	CHECK(flatiommu_dma_alloc(flat, 256 * MIB, NULL, &dma) == -ENOMEM && !dma);
	CHECK(strstr(flatiommu_reason(flat), "RLIMIT_MEMLOCK (8388608 bytes)"));
	CHECK(peak() - before < 32 * MIB);
	CHECK(!flatiommu_dma_free(must_alloc(4 * MIB)));
	fake_end();
	return 0;
}

/* Far more than the machine has, and just more. */
static void exceed_the_machine(void)
{
	static const size_t lengths[] = { (size_t)1 << 46, (size_t)64 << 40 };
	struct flatiommu_dma *dma = NULL;
	char line[128];
	unsigned long long kib = 0;
	FILE *file = fopen("/proc/meminfo", "r");
	size_t before;

	CHECK(file);
	while (fgets(line, sizeof(line), file) && sscanf(line, "MemAvailable: %llu", &kib) != 1)
		;
	fclose(file);
	fake_begin(FAKE_IOMMU);
	must_open(FN0);
	before = peak();
	CHECK(flatiommu_dma_alloc(flat, lengths[0], NULL, &dma) == -ENOMEM);
	CHECK(flatiommu_dma_alloc(flat, lengths[1], NULL, &dma) == -ENOMEM);
	CHECK(flatiommu_dma_alloc(flat, (kib << 10) + 256 * MIB, NULL, &dma) == -ENOMEM && !dma);
	CHECK(strstr(flatiommu_reason(flat), "are available"));
	CHECK(peak() - before < 32 * MIB);
	fake_end();
}

/* Not to be pinned: one attempt, with whichever pages. */
static void tries_once(void)
{
	struct flatiommu_dma *dma = NULL;
	size_t before = peak();

	fake_begin(FAKE_IOMMU);
	must_open(FN0);
	fake_maps(0, -ENOMEM);
	CHECK(flatiommu_dma_alloc(flat, 64 * MIB, &(struct flatiommu_dma_options){
		.pages = FLATIOMMU_PAGES_TRANSPARENT }, &dma) == -ENOMEM && !dma);
	CHECK(strstr(flatiommu_reason(flat), "cannot be pinned"));
	CHECK(fake_failed_maps() == 1);
	CHECK(peak() - before < 100 * MIB);
	fake_end();
}

int main(void)
{
	tries_once();
	exceed_the_machine();
	/* Capabilities do not come back. */
	CHECK(in_child(exceed_memlock) == 0);
	return EXIT_SUCCESS;
}
