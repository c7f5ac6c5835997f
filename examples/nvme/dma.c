// SPDX-License-Identifier: MIT
/*
 * A huge page, its mapping, and what the device calls it.
 */
#define _GNU_SOURCE 1
#include "dma.h"

#include <errno.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flat.h"
#include "log.h"

#define HUGEPAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

/* Where an IOMMU translates, buffers follow each other from here on. */
#define FIRST_IOVA (4ull << 30)

static void explain_map(const struct vfio_dev *v, uint64_t iova, int err)
{
	switch (err) {
	case -EADDRNOTAVAIL:
		log_error("%s: VFIO_IOMMU_MAP_DMA: flatiommu refuses IOVA %#llx (the kernel log has the "
			  "cause)", v->bdf, (unsigned long long)iova);
		break;
	case -ENOMEM:
		log_error("%s: VFIO_IOMMU_MAP_DMA: cannot pin 2 MiB. Cure: ulimit -l unlimited, or "
			  "free huge pages outside of movable memory (" HUGEPAGES ")", v->bdf);
		break;
	default:
		log_error("%s: VFIO_IOMMU_MAP_DMA: %s", v->bdf, strerror(-err));
	}
}

/*
 * With an IOMMU the device is told the IOVA, which is ours to choose. Without one it is told the bus
 * address, and the IOVA is nothing but a name to look it up by: that of the program for it, which
 * no device can mistake for memory.
 */
static int map_for_device(struct vfio_dev *v, struct dma_buf *buf)
{
	int err;

	buf->iova = v->flat < 0 ? FIRST_IOVA + v->mapped : (uintptr_t)buf->addr;
	err = vfio_dma_map(v, buf->addr, buf->iova, DMA_BUF_SIZE);
	if (err) {
		explain_map(v, buf->iova, err);
		return err;
	}
	buf->bus = buf->iova;
	if (v->flat >= 0)
		err = flat_bus_address(v->flat, v->bdf, buf->iova, DMA_BUF_SIZE, &buf->bus);
	if (err)
		vfio_dma_unmap(v, buf->iova, DMA_BUF_SIZE);
	else
		v->mapped += DMA_BUF_SIZE;
	return err;
}

int dma_alloc(struct vfio_dev *v, struct dma_buf *buf)
{
	void *addr;
	int err;

	addr = mmap(NULL, DMA_BUF_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
	/* Touched by the kernel: an errno instead of SIGBUS where there is none. */
	if (addr == MAP_FAILED || madvise(addr, DMA_BUF_SIZE, MADV_POPULATE_WRITE)) {
		err = -errno;
		log_error("a 2 MiB huge page: %s. Cure: sysctl vm.nr_hugepages=8 (or echo 8 > "
			  HUGEPAGES ")", strerror(-err));
		if (addr != MAP_FAILED)
			munmap(addr, DMA_BUF_SIZE);
		return err;
	}
	buf->addr = addr;
	err = map_for_device(v, buf);
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
	err = vfio_dma_unmap(v, buf->iova, DMA_BUF_SIZE);
	if (err)
		log_error("%s: VFIO_IOMMU_UNMAP_DMA: %s", v->bdf, strerror(-err));
	munmap(buf->addr, DMA_BUF_SIZE);
	buf->addr = NULL;
}
