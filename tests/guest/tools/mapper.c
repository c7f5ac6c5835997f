// SPDX-License-Identifier: MIT
/*
 * mapper GROUP: opens the function of a VFIO group and has 64 KiB of memory. For each line of its input it does one of these
 * and prints a line: "map" maps the memory at its bus addresses; "lose" maps it at its virtual address, which is refused;
 * "unmap".
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 16
#define PAGE 4096

static char *memory;
static uint64_t physical[PAGES];
static int container;

static int map(uint64_t iova, void *address, uint64_t size)
{
	struct vfio_iommu_type1_dma_map call = {
		.argsz = sizeof(call),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)address,
		.iova = iova,
		.size = size,
	};

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &call);
}

static int map_all(void)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), i, err = 0;
	uint64_t entry;

	for (i = 0; i < PAGES && !err; i++) {
		memory[i * PAGE] = 1;
		err = pread(pagemap, &entry, sizeof(entry),
			    (off_t)((uintptr_t)memory / PAGE + i) * sizeof(entry)) != sizeof(entry);
		physical[i] = (entry & ((1ULL << 55) - 1)) * PAGE;
		err = err || map(physical[i], memory + i * PAGE, PAGE);
	}
	close(pagemap);
	return err;
}

static int unmap_all(void)
{
	struct vfio_iommu_type1_dma_unmap call = { .argsz = sizeof(call), .size = PAGE };
	int i, err = 0;

	for (i = 0; i < PAGES; i++) {
		call.iova = physical[i];
		err |= ioctl(container, VFIO_IOMMU_UNMAP_DMA, &call);
	}
	return err;
}

int main(int argc, char **argv)
{
	char path[64], line[64];
	int group;

	snprintf(path, sizeof(path), "/dev/vfio/%s", argc == 2 ? argv[1] : "");
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	group = open(path, O_RDWR | O_CLOEXEC);
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (container < 0 || group < 0 || memory == MAP_FAILED ||
	    ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) {
		perror(path);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		int err = !strcmp(line, "map\n") ? map_all() :
			  !strcmp(line, "unmap\n") ? unmap_all() :
			  map((uintptr_t)memory, memory, PAGES * PAGE);

		printf("%s\n", err ? "failed" : "did");
		fflush(stdout);
	}
	return 0;
}
