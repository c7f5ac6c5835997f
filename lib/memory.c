// SPDX-License-Identifier: MIT
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define MAX_NODES 1024

size_t small_page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

size_t huge_page_size(enum flatiommu_dma_pages pages)
{
	switch (pages) {
	case FLATIOMMU_PAGES_1G:
		return 1ul << 30;
	case FLATIOMMU_PAGES_HUGE:
		/* The memory that one page of page table entries maps; an entry has 8 bytes. */
		return small_page_size() / 8 * small_page_size();
	default:
		return 0;
	}
}

/* mmap() and memfd_create() return these errors if the kernel has no huge pages of that size. */
static int as_no_memory(int err)
{
	return err == -EINVAL || err == -ENODEV || err == -EOPNOTSUPP ? -ENOMEM : err;
}

/* The flags for a page size: its log2, shifted by MAP_HUGE_SHIFT, also for memfd_create(). */
static int huge_flags(size_t page_size)
{
	return __builtin_ctzl(page_size) << MAP_HUGE_SHIFT;
}

static int make_file(size_t size, size_t huge)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd, err;

	if (huge)
		flags |= MFD_HUGETLB | (unsigned int)huge_flags(huge);
	fd = memfd_create("flatiommu", flags);
	if (fd < 0)
		return as_no_memory(-errno);
	/*
	 * A process that gets the file cannot shrink it, or add seals. It can punch a hole: the
	 * memory that devices reach stays pinned then, but does not belong to the file any more.
	 */
	if (!ftruncate(fd, (off_t)size) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* Maps memory at a multiple of @align, so that huge pages can be in it. */
static void *map_aligned(size_t size, size_t align, int flags, int fd)
{
	char *area = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t skip;
	char *memory;

	if (area == MAP_FAILED)
		return area;
	skip = -(uintptr_t)area & (align - 1);
	memory = mmap(area + skip, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
	if (memory == MAP_FAILED) {
		munmap(area, size + align);
		return memory;
	}
	if (skip)
		munmap(area, skip);
	munmap(memory + size, align - skip);
	return memory;
}

static void *map_memory(const struct memory *memory, enum flatiommu_dma_pages pages)
{
	size_t huge = huge_page_size(pages);
	int flags = memory->file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *addr;

	if (huge && memory->file < 0)
		flags |= MAP_HUGETLB | huge_flags(huge);
	if (pages == FLATIOMMU_PAGES_TRANSPARENT) {
		addr = map_aligned(memory->size, huge_page_size(FLATIOMMU_PAGES_HUGE), flags,
				   memory->file);
		/* Only advice: it fails on kernels without transparent huge pages. */
		if (addr != MAP_FAILED)
			madvise(addr, memory->size, MADV_HUGEPAGE);
		return addr;
	}
	addr = mmap(NULL, memory->size, PROT_READ | PROT_WRITE, flags, memory->file, 0);
	if (pages == FLATIOMMU_PAGES_SMALL && addr != MAP_FAILED)
		madvise(addr, memory->size, MADV_NOHUGEPAGE);
	return addr;
}

static int place(const struct memory *memory, const struct flatiommu_dma_options *options)
{
	unsigned long nodes[MAX_NODES / (8 * sizeof(unsigned long))] = { 0 };
	int policy = options->flags & FLATIOMMU_DMA_NO_FALLBACK ? MPOL_BIND : MPOL_PREFERRED;
	unsigned int node = (unsigned int)options->node;

	if (!(options->flags & FLATIOMMU_DMA_ON_NODE))
		return 0;
	if (options->node < 0 || node >= MAX_NODES)
		return -EINVAL;
	nodes[node / (8 * sizeof(nodes[0]))] = 1ul << node % (8 * sizeof(nodes[0]));
	if (!syscall(SYS_mbind, memory->addr, memory->size, policy, nodes, MAX_NODES + 1ul, 0ul))
		return 0;
	/* A kernel without nodes has everything on node 0. */
	return errno == ENOSYS && !node ? 0 : -errno;
}

/* Has the kernel fill the memory: if there is none, this returns an errno instead of SIGBUS. */
static int populate(const struct memory *memory)
{
	if (!madvise(memory->addr, memory->size, MADV_POPULATE_WRITE))
		return 0;
	return errno == EFAULT || errno == EHWPOISON ? -ENOMEM : -errno;
}

/* A transparent huge page must be whole to be contiguous. */
size_t memory_size(size_t length, enum flatiommu_dma_pages pages,
		   const struct flatiommu_dma_options *options)
{
	bool whole = pages == FLATIOMMU_PAGES_TRANSPARENT &&
		     options->flags & FLATIOMMU_DMA_CONTIGUOUS;
	size_t huge = huge_page_size(whole ? FLATIOMMU_PAGES_HUGE : pages);
	size_t unit = huge ? huge : small_page_size();

	/* A larger length, rounded up to pages, would not be a valid size of a file. */
	return length > SIZE_MAX / 4 ? length : (length + unit - 1) & ~(unit - 1);
}

int memory_get(size_t length, enum flatiommu_dma_pages pages,
	       const struct flatiommu_dma_options *options, struct memory *memory)
{
	size_t huge = huge_page_size(pages);
	int err;

	if (length > SIZE_MAX / 4)
		return -ENOMEM;
	*memory = (struct memory){
		.size = memory_size(length, pages, options),
		.page_size = huge ? huge : small_page_size(),
		.file = -1,
	};
	if (options->flags & FLATIOMMU_DMA_SHARED) {
		memory->file = make_file(memory->size, huge);
		if (memory->file < 0)
			return memory->file;
	}
	memory->addr = map_memory(memory, pages);
	if (memory->addr == MAP_FAILED) {
		err = as_no_memory(-errno);
		close_fd(&memory->file);
		return err;
	}
	err = place(memory, options);
	if (!err)
		err = populate(memory);
	if (err)
		memory_put(memory);
	return err;
}

void memory_put(const struct memory *memory)
{
	munmap(memory->addr, memory->size);
	if (memory->file >= 0)
		close(memory->file);
}
