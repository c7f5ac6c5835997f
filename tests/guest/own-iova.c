// SPDX-License-Identifier: MIT
/*
 * own-iova BDF IOVA...: a program that was written for an IOMMU. It maps a page at each IOVA, which it has chosen itself,
 * and prints OK or the error's name for each.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

/* The node of its group, which has to be there. */
static int open_group(const char *bdf)
{
	char path[128], link[128];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	length = readlink(path, link, sizeof(link) - 1);
	if (length < 0)
		return -1;
	link[length] = 0;
	snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(link, '/'));
	return open(path, O_RDWR | O_CLOEXEC);
}

static const char *map(int container, uint64_t iova)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)page,
		.iova = iova,
		.size = PAGE,
	};

	if (page == MAP_FAILED)
		return strerrorname_np(errno);
	memset(page, 1, PAGE);
	return ioctl(container, VFIO_IOMMU_MAP_DMA, &arg) ? strerrorname_np(errno) : "OK";
}

int main(int argc, char **argv)
{
	int container, group, i;

	if (argc < 3) {
		fprintf(stderr, "usage: own-iova BDF IOVA...\n");
		return 2;
	}
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	group = open_group(argv[1]);
	if (container < 0 || group < 0 || ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) ||
	    ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argv[1]) < 0) {
		perror("own-iova");
		return 1;
	}
	for (i = 2; i < argc; i++)
		puts(map(container, strtoull(argv[i], NULL, 0)));
	return 0;
}
