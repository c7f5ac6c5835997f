// SPDX-License-Identifier: MIT
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/mman.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sysfs.h"

#define HUGEPAGES "/sys/kernel/mm/hugepages/hugepages-%zukB/"

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_PFN ((1ull << 55) - 1)

static void *map(size_t size, int flags)
{
	void *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

	return addr == MAP_FAILED ? NULL : addr;
}

static bool machine_has_cma(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long total = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "CmaTotal: %lu", &total);
	if (file)
		fclose(file);
	return total;
}

/* Memory in CMA moves once, when it is pinned. So pins it, by io_uring, which needs no device, and lets it go. */
static void settle(void *addr, size_t size)
{
	struct iovec memory = { addr, size };
	struct io_uring_params params = { 0 };
	int ring;

	if (!addr || !machine_has_cma())
		return;
	ring = (int)syscall(SYS_io_uring_setup, 1, &params);
	if (ring < 0 || syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &memory, 1))
		fprintf(stderr, "# memory may be in CMA, and is not moved from there: %s\n", strerror(errno));
	else
		syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
	close(ring);
}

/* Touched by the kernel: NULL instead of SIGBUS where there is no memory. */
static void *touch(void *addr, size_t size)
{
	if (addr && madvise(addr, size, MADV_POPULATE_WRITE)) {
		munmap(addr, size);
		addr = NULL;
	}
	settle(addr, size);
	return addr;
}

void *mem_pages(size_t count)
{
	void *addr = map(count * PAGE, MAP_PRIVATE);

	if (addr)
		madvise(addr, count * PAGE, MADV_NOHUGEPAGE);
	return touch(addr, count * PAGE);
}

void *mem_shared(size_t count)
{
	return touch(map(count * PAGE, MAP_SHARED), count * PAGE);
}

void *mem_huge(void)
{
	int size = __builtin_ctzl(HUGE_PAGE) << MAP_HUGE_SHIFT;

	return touch(map(HUGE_PAGE, MAP_PRIVATE | MAP_HUGETLB | size), HUGE_PAGE);
}

bool mem_has_giant(void)
{
	return read_number("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages") > 0;
}

void *mem_giant(void)
{
	return touch(map(GIANT_PAGE, MAP_PRIVATE | MAP_HUGETLB | MAP_HUGE_1GB), GIANT_PAGE);
}

void *mem_transparent(void)
{
	char *space = map(2 * HUGE_PAGE, MAP_PRIVATE), *page;
	size_t before;

	if (!space)
		return NULL;
	page = (char *)(((uintptr_t)space + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	before = (size_t)(page - space);
	if (before)
		munmap(space, before);
	munmap(page + HUGE_PAGE, HUGE_PAGE - before);
	if (madvise(page, HUGE_PAGE, MADV_HUGEPAGE)) {
		munmap(page, HUGE_PAGE);
		return NULL;
	}
	return touch(page, HUGE_PAGE);
}

/* Pages come one after the other, and go into the file with a stride. */
void *mem_file_scattered(size_t count)
{
	const size_t stride = 61;
	int fd = memfd_create("scattered", MFD_CLOEXEC);
	void *addr = MAP_FAILED;
	size_t first, i;

	if (fd < 0)
		return NULL;
	if (!ftruncate(fd, (off_t)(count * PAGE))) {
		for (first = 0; first < stride; first++)
			for (i = first; i < count; i += stride)
				if (pwrite(fd, "", 1, (off_t)(i * PAGE)) != 1)
					goto close;
		addr = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	}
close:
	close(fd);
	return touch(addr == MAP_FAILED ? NULL : addr, count * PAGE);
}

void mem_free(void *addr, size_t size)
{
	if (addr)
		munmap(addr, size);
}

/* Every other page of twice as many, put together. */
static char *scatter(size_t count)
{
	char *all = mem_pages(2 * count), *to = map(count * PAGE, MAP_PRIVATE);
	size_t i;

	for (i = 0; all && to && i < count; i++)
		if (mremap(all + 2 * i * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			   to + i * PAGE) == MAP_FAILED)
			break;
	mem_free(all, 2 * count * PAGE);
	if (all && to && i == count)
		return to;
	mem_free(to, count * PAGE);
	return NULL;
}

void *mem_scattered(size_t count)
{
	unsigned int tries;
	char *addr;

	for (tries = 0; tries < 8; tries++) {
		addr = scatter(count);
		if (addr && mem_runs(addr, count) == count)
			return addr;
		mem_free(addr, count * PAGE);
	}
	return NULL;
}

int huge_pages(long count)
{
	char path[96], text[32];
	int ret;

	snprintf(path, sizeof(path), HUGEPAGES "nr_hugepages", HUGE_PAGE >> 10);
	snprintf(text, sizeof(text), "%ld", count);
	ret = write_text(path, text);
	if (ret)
		return ret;
	return read_number(path) == count ? 0 : -ENOMEM;
}

long free_huge_pages(void)
{
	char path[96];

	snprintf(path, sizeof(path), HUGEPAGES "free_hugepages", HUGE_PAGE >> 10);
	return read_number(path);
}

int bus_addresses(const void *addr, uint64_t *bus, size_t count)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t size = (ssize_t)(count * sizeof(*bus)), done;
	size_t i;

	if (fd < 0)
		return -errno;
	done = pread(fd, bus, (size_t)size, (off_t)((uintptr_t)addr / PAGE * sizeof(*bus)));
	close(fd);
	if (done != size)
		return -EIO;
	for (i = 0; i < count; i++)
		bus[i] = bus[i] & PAGEMAP_PRESENT ? (bus[i] & PAGEMAP_PFN) * PAGE : 0;
	return 0;
}

size_t mem_runs(const void *addr, size_t count)
{
	const char *page = addr;
	size_t runs = 1, i;

	for (i = 1; i < count; i++)
		if (bus_address(page + i * PAGE) != bus_address(page + (i - 1) * PAGE) + PAGE)
			runs++;
	return runs;
}

uint64_t bus_address(const void *addr)
{
	uint64_t bus;

	if (bus_addresses(addr, &bus, 1) || !bus)
		return 0;
	return bus + (uintptr_t)addr % PAGE;
}

long pins(void)
{
	long long acquired = 0, released = 0, value;
	FILE *file;
	char name[64];

	/* Each processor counts for itself and tells the others now and then, or when asked. */
	write_text("/proc/sys/vm/stat_refresh", "1");
	file = fopen("/proc/vmstat", "re");
	while (file && fscanf(file, "%63s %lld", name, &value) == 2) {
		if (!strcmp(name, "nr_foll_pin_acquired"))
			acquired = value;
		else if (!strcmp(name, "nr_foll_pin_released"))
			released = value;
	}
	if (file)
		fclose(file);
	return (long)(acquired - released);
}

long status_kib(const char *key)
{
	char text[4096], *at;

	if (read_text("/proc/self/status", text, sizeof(text)) < 0)
		return -1;
	at = strstr(text, key);
	return at ? strtol(at + strlen(key), NULL, 10) : -1;
}

void fill(void *addr, size_t size, uint32_t seed)
{
	uint32_t *word = addr;
	size_t i;

	for (i = 0; i < size / sizeof(*word); i++)
		word[i] = (uint32_t)(i * 0x9e3779b1u) ^ seed;
}

int is_filled(const void *addr, size_t size, uint32_t seed)
{
	const volatile uint32_t *word = addr;
	size_t i;

	for (i = 0; i < size / sizeof(*word); i++)
		if (word[i] != ((uint32_t)(i * 0x9e3779b1u) ^ seed))
			return 0;
	return 1;
}
