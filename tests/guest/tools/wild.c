// SPDX-License-Identifier: MIT
/*
 * wild DEVICE WHAT [PEER]: a driver of edu, on libflatiommu. It prints the bus address of its buffer, and lets the device
 * read or write there (well) or where it has none; with PEER, QEMU's ivshmem, in the buffer that is a part of its BAR.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <flatiommu.h>

#include "edu.h"
#include "mem.h"

static struct flatiommu *flat;

static void must(int ret, const char *what)
{
	if (ret >= 0)
		return;
	printf("%s: %s\n", what, flatiommu_reason(flat));
	exit(1);
}

static struct flatiommu_dma *map(void *memory, size_t length, uint32_t flags)
{
	const struct flatiommu_dma_options options = { .flags = flags };
	struct flatiommu_dma *dma = NULL;

	must(flatiommu_dma_map(flat, memory, length, &options, &dma), "map");
	return dma;
}

/* Through the device and back: the bytes of each buffer are those of the first one. */
static void copy(void *regs, const struct flatiommu_dma *first, const struct flatiommu_dma *dma, size_t offset)
{
	char *to = (char *)dma->memory + offset;

	memset(first->memory, 0xa5, 2048);
	memset(to, 0, 2048);
	must(edu_load(regs, flatiommu_dma_address(first, 0), 2048), "load");
	must(edu_store(regs, flatiommu_dma_address(dma, offset), 2048), "store");
	if (memcmp(first->memory, to, 2048)) {
		puts("copied wrongly");
		exit(1);
	}
}

/* Buffers of all kinds, some of which share pages. */
static void do_well(void *regs, const struct flatiommu_dma *first)
{
	const struct flatiommu_dma_options shared = { .flags = FLATIOMMU_DMA_SHARED };
	char *memory = mem_scattered(16);
	struct flatiommu_dma *dma, *part, *alias;
	void *again;
	int i;

	dma = map(memory, 16 * PAGE, 0);
	for (i = 0; i < 16; i += 5)
		copy(regs, first, dma, (size_t)i * PAGE + PAGE / 2);
	part = map(memory + 100, 3000, 0);
	copy(regs, first, part, 900);
	must(flatiommu_dma_free(dma), "free");
	copy(regs, first, part, 900);
	must(flatiommu_dma_free(part), "free");
	/* the same memory at two addresses of the program */
	must(flatiommu_dma_alloc(flat, 4 * PAGE, &shared, &dma), "alloc");
	again = mremap(dma->memory, 0, 4 * PAGE, MREMAP_MAYMOVE);
	alias = map(again, 4 * PAGE, 0);
	copy(regs, first, alias, PAGE);
	if (memcmp(dma->memory, again, 4 * PAGE) || flatiommu_dma_address(dma, 0) != flatiommu_dma_address(alias, 0))
		puts("not the same memory");
	must(flatiommu_dma_alloc(flat, 3 << 20, NULL, &dma), "alloc");
	copy(regs, first, dma, (3 << 20) - 2048);
	puts("well");
}

/* A part of another device's BAR, at its bus address. */
static void do_peer(void *regs, const char *what, const char *name, const struct flatiommu_dma *first)
{
	const uint64_t offset = 0x5000;
	struct flatiommu_device *peer = NULL;
	struct flatiommu_device_info info;
	struct flatiommu_dma *dma = NULL;
	uint64_t bus;

	must(flatiommu_device_open(flat, name, &peer), "open");
	must(flatiommu_bar_dma(peer, 2, offset, 2 * PAGE, NULL, &dma), "peer");
	must(flatiommu_device_get_info(peer, &info), "info");
	bus = flatiommu_dma_address(dma, 0);
	if (bus != info.bars[2] + offset)
		puts("not at its bus address");
	printf("peer 0x%llx\n", (unsigned long long)bus);
	copy(regs, first, dma, PAGE + PAGE / 2);
	if (!strcmp(what, "peer-freed"))
		must(flatiommu_dma_free(dma), "free");
	if (strcmp(what, "peer"))
		must(edu_store(regs, !strcmp(what, "peer-behind") ? bus + 2 * PAGE : bus, 16), "store");
	else
		puts("well");
}

static void do_wildly(void *regs, const char *what, struct flatiommu_dma *dma)
{
	uint64_t bus = flatiommu_dma_address(dma, 0);
	void *memory;

	if (!strcmp(what, "behind")) {
		must(edu_store(regs, bus + PAGE, 16), "store");
	} else if (!strcmp(what, "over")) {
		must(edu_store(regs, bus + PAGE - 16, 32), "store");
	} else if (!strcmp(what, "before")) {
		must(edu_load(regs, bus - PAGE, 16), "load");
	} else if (!strcmp(what, "freed")) {
		must(flatiommu_dma_free(dma), "free");
		must(edu_store(regs, bus, 16), "store");
	} else if (!strcmp(what, "read-only")) {
		memory = mem_pages(1);
		dma = map(memory, PAGE, FLATIOMMU_DMA_READ_ONLY);
		bus = flatiommu_dma_address(dma, 0);
		printf("read-only 0x%llx\n", (unsigned long long)bus);
		/* Not after a load: QEMU reports nothing of what it has in its IOTLB. */
		must(edu_store(regs, bus, 16), "store");
	} else {
		exit(2);
	}
}

int main(int argc, char **argv)
{
	const struct flatiommu_dma_options page = { .pages = FLATIOMMU_PAGES_SMALL };
	struct flatiommu_device *device = NULL;
	struct flatiommu_dma *dma = NULL;
	void *regs = NULL;

	if ((argc != 3 && argc != 4) || flatiommu_open(&flat))
		return 2;
	must(flatiommu_device_open(flat, argv[1], &device), "open");
	must(flatiommu_bar_map(device, 0, 0, 0, 0, &regs), "BAR");
	must(flatiommu_dma_alloc(flat, PAGE, &page, &dma), "alloc");
	must(flatiommu_bus_master(device, true), "bus mastering");
	printf("buffer 0x%llx\n", (unsigned long long)flatiommu_dma_address(dma, 0));
	fflush(stdout);
	if (argc == 4)
		do_peer(regs, argv[2], argv[3], dma);
	else if (!strcmp(argv[2], "well"))
		do_well(regs, dma);
	else
		do_wildly(regs, argv[2], dma);
	flatiommu_close(flat);
	return 0;
}
