// SPDX-License-Identifier: MIT
/*
 * own-iova BDF IOVA...: a program that was written for an IOMMU. It maps a page at each IOVA, which it has chosen itself,
 * and prints OK or the error's name for each.
 *
 * Two words may stand in place of an IOVA. dpdk: choose the IOVA as DPDK does, and print the kind before the result: VA, the
 * virtual address, if there are IOMMU groups, otherwise PA, the physical address of pagemap. hold: wait until it is killed.
 */
#include <dirent.h>
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

/* Are there any groups? As rte_pci_get_iommu_class() looks for them. */
static int has_groups(void)
{
	DIR *directory = opendir("/sys/kernel/iommu_groups");
	struct dirent *entry;
	int found = 0;

	while (directory && (entry = readdir(directory)))
		found |= entry->d_name[0] != '.';
	if (directory)
		closedir(directory);
	return found;
}

/* 0 without CAP_SYS_ADMIN. */
static uint64_t physical(const void *page)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)page / PAGE * 8)) != 8)
		entry = 0;
	close(fd);
	return (entry & ((1ull << 55) - 1)) * PAGE;
}

static const char *map(int container, const char *where)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)page,
		.size = PAGE,
	};

	if (page == MAP_FAILED)
		return strerrorname_np(errno);
	memset(page, 1, PAGE);
	if (strcmp(where, "dpdk")) {
		arg.iova = strtoull(where, NULL, 0);
	} else {
		arg.iova = has_groups() ? (uintptr_t)page : physical(page);
		fputs(arg.iova == (uintptr_t)page ? "VA " : "PA ", stdout);
	}
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
	for (i = 2; i < argc; i++) {
		if (strcmp(argv[i], "hold")) {
			puts(map(container, argv[i]));
			continue;
		}
		fflush(stdout);
		pause();
	}
	return 0;
}
