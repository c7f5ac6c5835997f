// SPDX-License-Identifier: MIT
/*
 * Huge page, its bus address, and its mapping at IOVA = bus address.
 */
#define _GNU_SOURCE 1
#include "dma.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"

#define HUGEPAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

/* An entry of pagemap: Documentation/admin-guide/mm/pagemap.rst of Linux. */
#define PAGEMAP_PRESENT		(1ull << 63)
#define PAGEMAP_PFN_MASK	((1ull << 55) - 1)

#define MAP_TRIES	5

/* Stands in until flatiommu's translation API exists: pagemap tells root physical addresses. */
static int bus_address(const void *addr, uint64_t *bus)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0) {
		int err = -errno;

		log_error("/proc/self/pagemap: %s", strerror(-err));
		return err;
	}
	len = pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)addr / page * sizeof(entry)));
	close(fd);
	if (len != sizeof(entry) || !(entry & PAGEMAP_PRESENT)) {
		log_error("/proc/self/pagemap: no entry for a page that was just touched");
		return -EIO;
	}
	if (!(entry & PAGEMAP_PFN_MASK)) {
		log_error("/proc/self/pagemap: hides physical addresses. Cure: run as root "
			  "(CAP_SYS_ADMIN)");
		return -EPERM;
	}
	*bus = (entry & PAGEMAP_PFN_MASK) * page;
	return 0;
}

static void explain_map(const struct vfio_dev *v, int err)
{
	switch (err) {
	case -EADDRNOTAVAIL:
		log_error("%s: VFIO_IOMMU_MAP_DMA: EADDRNOTAVAIL %d times: the page is not where "
			  "it was looked up (the kernel log has the cause). Cure: reserve huge pages at "
			  "boot, outside of movable memory", v->bdf, MAP_TRIES);
		break;
	case -ENOMEM:
		log_error("%s: VFIO_IOMMU_MAP_DMA: cannot pin 2 MiB. Cure: ulimit -l unlimited, or "
			  "free huge pages outside of movable memory (" HUGEPAGES ")", v->bdf);
		break;
	case -EINVAL:
		log_error("%s: VFIO_IOMMU_MAP_DMA: the page's physical address is outside of what "
			  "this IOMMU can map", v->bdf);
		break;
	default:
		log_error("%s: VFIO_IOMMU_MAP_DMA: %s", v->bdf, strerror(-err));
	}
}

/*
 * Between the look-up and the pin the page may move, and the pin itself moves it out of
 * ZONE_MOVABLE: the old address is then refused, and the new one is good.
 */
static int map_at_bus_address(const struct vfio_dev *v, struct dma_buf *buf)
{
	int err = -EADDRNOTAVAIL;
	int tries;

	for (tries = 0; err == -EADDRNOTAVAIL && tries < MAP_TRIES; tries++) {
		err = bus_address(buf->addr, &buf->bus);
		if (err)
			return err;
		err = vfio_dma_map(v, buf->addr, buf->bus, DMA_BUF_SIZE);
	}
	if (err)
		explain_map(v, err);
	return err;
}

int dma_alloc(const struct vfio_dev *v, struct dma_buf *buf)
{
	void *addr;
	int err;

	addr = mmap(NULL, DMA_BUF_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
	/* Only a touched page has an address. Touched by the kernel: an errno instead of SIGBUS. */
	if (addr == MAP_FAILED || madvise(addr, DMA_BUF_SIZE, MADV_POPULATE_WRITE)) {
		err = -errno;
		log_error("a 2 MiB huge page: %s. Cure: sysctl vm.nr_hugepages=8 (or echo 8 > "
			  HUGEPAGES ")", strerror(-err));
		if (addr != MAP_FAILED)
			munmap(addr, DMA_BUF_SIZE);
		return err;
	}
	buf->addr = addr;
	err = map_at_bus_address(v, buf);
	if (err) {
		munmap(addr, DMA_BUF_SIZE);
		buf->addr = NULL;
	}
	return err;
}

void dma_free(const struct vfio_dev *v, struct dma_buf *buf)
{
	int err;

	if (!buf->addr)
		return;
	err = vfio_dma_unmap(v, buf->bus, DMA_BUF_SIZE);
	if (err)
		log_error("%s: VFIO_IOMMU_UNMAP_DMA: %s", v->bdf, strerror(-err));
	munmap(buf->addr, DMA_BUF_SIZE);
	buf->addr = NULL;
}
