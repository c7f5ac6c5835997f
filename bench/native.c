// SPDX-License-Identifier: MIT
/*
 * The cost of bus addresses by Linux's own no-IOMMU mode (7.3), beside flatiommu on the same
 * kernel. Microseconds.
 *
 *	native		IOMMU_IOAS_MAP, and IOMMU_IOAS_NOIOMMU_GET_PA for each segment
 *	map+lookup	IOMMU_IOAS_MAP on flatiommu, and LOOKUP
 *	pin		PIN with all segments
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/iommufd_abi.h"
#include "cdev.h"
#include "devices.h"
#include "devnode.h"
#include "figure.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define RUNS 5
#define SIZE ((size_t)16 << 20)
#define MODE "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
#define IOVA FLATIOMMU_LOOKUP_FIRST

static struct flatiommu_segment segments[(16 << 20) / 4096];
static struct flatiommu_function function;
static int iommufd, ioas, cdev, flat;

static void open_device(void)
{
	iommufd = iommufd_open();
	must(iommufd, "/dev/iommu");
	ioas = iommufd_alloc_ioas(iommufd);
	must(ioas, "IOAS_ALLOC");
	cdev = cdev_open(EDU);
	must(cdev, "the function's node");
	must(cdev_bind(cdev, iommufd), "BIND_IOMMUFD");
	must(cdev_attach(cdev, (uint32_t)ioas), "ATTACH_IOMMUFD_PT");
}

static void close_device(void)
{
	close_fd(&cdev);
	close_fd(&iommufd);
}

static double native(char *memory)
{
	struct ioas_get_pa arg = { .size = sizeof(arg), .ioas_id = (uint32_t)ioas };
	double start = now(), took;
	size_t at;

	must(iommufd_map(iommufd, (uint32_t)ioas, memory, IOVA, SIZE), "IOAS_MAP");
	for (at = 0; at < SIZE; at += arg.length) {
		arg.iova = IOVA + at;
		arg.length = SIZE - at;
		must(ioctl(iommufd, IOAS_NOIOMMU_GET_PA, &arg) ? -errno : 0, "GET_PA");
	}
	took = now() - start;
	must(iommufd_unmap(iommufd, (uint32_t)ioas, IOVA, SIZE), "IOAS_UNMAP");
	return took;
}

static double map_lookup(char *memory)
{
	struct flatiommu_lookup lookup = {
		.size = sizeof(lookup),
		.function = function,
		.start = IOVA,
		.length = SIZE,
		.nr_segments = ARRAY_SIZE(segments),
		.segments = (uintptr_t)segments,
	};
	double start = now(), took;

	must(iommufd_map(iommufd, (uint32_t)ioas, memory, IOVA, SIZE), "IOAS_MAP");
	must(flat_call(flat, FLATIOMMU_LOOKUP, &lookup), "LOOKUP");
	took = now() - start;
	must(lookup.length == SIZE ? 0 : -EIO, "segments");
	must(iommufd_unmap(iommufd, (uint32_t)ioas, IOVA, SIZE), "IOAS_UNMAP");
	return took;
}

static double pin(char *memory)
{
	struct flatiommu_pin arg = {
		.size = sizeof(arg),
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
		.vaddr = (uintptr_t)memory,
		.length = SIZE,
		.nr_segments = ARRAY_SIZE(segments),
		.segments = (uintptr_t)segments,
	};
	double start = now(), took;

	must(flat_call(flat, FLATIOMMU_PIN, &arg), "PIN");
	took = now() - start;
	must(arg.out_length == SIZE ? 0 : -EIO, "segments");
	must(flat_unpin(flat, arg.out_pin), "UNPIN");
	return took;
}

static void measure(const char *way, double (*fn)(char *memory), char *small, char *huge)
{
	double took[RUNS];
	int run;

	/* The first run warms up and does not count. */
	fn(small);
	for (run = 0; run < RUNS; run++)
		took[run] = fn(small);
	figure("native", "4 KiB", SIZE, way, took, RUNS);
	fn(huge);
	for (run = 0; run < RUNS; run++)
		took[run] = fn(huge);
	figure("native", "2 MiB", SIZE, way, took, RUNS);
}

int main(void)
{
	char *small = mem_file_scattered(SIZE / PAGE), *huge;

	must(huge_pages((long)(SIZE / HUGE_PAGE)), "huge pages");
	huge = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	must(!small || huge == MAP_FAILED ? -ENOMEM : 0, "memory");
	memset(huge, 1, SIZE);
	memset(segments, 1, sizeof(segments));
	function = flat_function(EDU);
	must(noiommu_cdev_is_there() ? 0 : -ENOSYS, "no-IOMMU mode");

	must(write_text(MODE, "Y"), MODE);
	must(pci_bind(EDU, "vfio-pci"), "bind");
	open_device();
	measure("native", native, small, huge);
	close_device();
	must(pci_unbind(EDU), "unbind");
	must(pci_bind_default(EDU), "unbind");
	must(write_text(MODE, "N"), MODE);

	must(flat_load(), "the module");
	must(pci_take(EDU), "claim");
	open_device();
	flat = flat_open();
	must(flat, "/dev/flatiommu");
	must(flat_declare(flat, EDU), "DECLARE");
	measure("map+lookup", map_lookup, small, huge);
	measure("pin", pin, small, huge);
	close_fd(&flat);
	close_device();
	must(pci_give_back(EDU), "release");
	must(flat_unload(), "the module");
	mem_free(huge, SIZE);
	must(huge_pages(0), "huge pages");
	printf("ok 1 - measured\n1..1\n");
	return 0;
}
