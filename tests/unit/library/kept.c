// SPDX-License-Identifier: MIT
/*
 * A buffer that the kernel does not unmap stays mapped at its IOVA. So no other buffer gets that
 * IOVA, until the context has closed its last device.
 */
#include <errno.h>
#include <string.h>

#include "fake.h"

#define PAGE 4096ul

static struct flatiommu_device *device;

/* Frees a buffer, which the kernel does not unmap. */
static void must_keep(struct flatiommu_dma *dma)
{
	fake_unmaps(-EIO);
	CHECK(flatiommu_dma_free(dma) == -EIO);
	CHECK(strstr(flatiommu_reason(flat), "cannot be unmapped and are kept"));
	fake_unmaps(0);
}

/* A device that is opened may change the IOVAs that are allowed. */
static void next_open(enum fake_machine machine)
{
	struct flatiommu_dma *dma, *again;
	unsigned long before;

	fake_begin(machine);
	device = must_open(FN0);
	dma = must_alloc(3 * PAGE);
	must_keep(must_alloc(2 * PAGE));
	before = fake_calls->mapped;
	must_open(FN1);
	again = must_alloc(2 * PAGE);
	CHECK(fake_calls->mapped == before + 2 * PAGE);
	CHECK(!flatiommu_dma_free(again));
	CHECK(!flatiommu_dma_free(dma));
	CHECK(fake_calls->mapped == 2 * PAGE);
	fake_end();
}

static void last_close(void)
{
	struct flatiommu_dma *dma;
	uint64_t address;

	fake_begin(FAKE_IOMMU);
	device = must_open(FN0);
	dma = must_alloc(PAGE);
	address = flatiommu_dma_address(dma, 0);
	must_keep(dma);
	dma = must_alloc(PAGE);
	CHECK(flatiommu_dma_address(dma, 0) != address);
	CHECK(!flatiommu_dma_free(dma));
	CHECK(!flatiommu_device_close(device));
	CHECK(!fake_calls->mapped);
	must_open(FN0);
	CHECK(flatiommu_dma_address(must_alloc(PAGE), 0) == address);
	fake_end();
}

int main(void)
{
	next_open(FAKE_IOMMU);
	next_open(FAKE_FLAT);
	last_close();
	return EXIT_SUCCESS;
}
