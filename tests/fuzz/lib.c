// SPDX-License-Identifier: MIT
/*
 * What the library parses: the first byte says which of it is fed with the rest. A device is a file
 * with that in it, and VFIO's ioctl() answers with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../lib/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_ioctl(int fd, unsigned long request, ...);

static struct flatiommu flat = {
	.ours = "this process",
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.reason_lock = PTHREAD_MUTEX_INITIALIZER,
};
static const uint8_t *bytes;
static size_t nr_bytes;

/* A file of so many of the bytes. */
static int file_of(const void *from, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || write(fd, from, size) != (ssize_t)size)
		abort();
	return fd;
}

static void fuzz_bdf(void)
{
	struct sysfs_function f, again;
	char text[64];

	snprintf(text, sizeof(text), "%.*s", (int)nr_bytes, (const char *)bytes);
	if (!parse_bdf(text, &f) && (parse_bdf(f.bdf, &again) || again.segment != f.segment ||
				     again.bus != f.bus || again.devfn != f.devfn))
		abort();
}

/* A device whose config space the bytes are. */
static void fuzz_config(void)
{
	struct flatiommu_device device = { .flat = &flat, .fd = file_of(bytes, nr_bytes), .name = "fuzz" };
	unsigned int id, offset, last, i;

	device.regions[FLATIOMMU_REGION_CONFIG].size = nr_bytes;
	for (id = 0; id < 32; id++) {
		for (offset = 0, i = 0; i < 100 && !flatiommu_capability(&device, (uint8_t)id, &offset); i++)
			if (offset < 0x40 || offset > 0xff)
				abort();
		last = 0;
		for (i = 0; i < 2000 && !flatiommu_extended_capability(&device, (uint16_t)id, &last); i++)
			if (last < 0x100 || last > 0xfff)
				abort();
	}
	close(device.fd);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct vfio_region_info *info;
	size_t size = nr_bytes;
	va_list args;

	(void)fd;
	va_start(args, request);
	info = va_arg(args, void *);
	va_end(args);
	if (request != VFIO_DEVICE_GET_REGION_INFO || size < sizeof(*info)) {
		errno = EINVAL;
		return -1;
	}
	/* As the kernel does it: no more than fits, and how long it is. */
	if (size > info->argsz)
		size = info->argsz;
	memcpy((char *)info + 4, bytes + 4, size - 4);
	info->argsz = bytes[0] & 1 ? (uint32_t)nr_bytes + bytes[1] : (uint32_t)nr_bytes;
	return 0;
}

static void fuzz_regions(void)
{
	struct flatiommu_device device = { .flat = &flat, .fd = -1, .name = "fuzz" };
	unsigned int i, n;
	uint64_t sum = 0;

	read_regions(&device, NR_REGIONS);
	for (i = 0; i < NR_REGIONS; i++)
		for (n = 0; n < device.regions[i].nr_areas; n++)
			sum += device.regions[i].areas[n].offset + device.regions[i].areas[n].size;
	if (sum == 0x1234567812345678)
		puts("");
	free_regions(&device);
}

/* A table that another process made, for a file of a few pages; its number is put in for it. */
static void fuzz_import(void)
{
	const size_t span = 4 << 12;
	struct {
		char magic[8];
		uint64_t length, span, page_size, nr_segments, dev, ino;
	} head;
	struct flatiommu_dma *dma;
	char *table = malloc(nr_bytes + 1);
	int memory, fd, seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	struct stat st;
	size_t at;

	if (!table)
		abort();
	memcpy(table, bytes, nr_bytes);
	memory = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memory < 0 || ftruncate(memory, (off_t)span) || fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK) ||
	    fstat(memory, &st))
		abort();
	if (nr_bytes >= sizeof(head)) {
		memcpy(&head, table, sizeof(head));
		head.dev = st.st_dev;
		head.ino = st.st_ino;
		memcpy(table, &head, sizeof(head));
	}
	fd = file_of(table, nr_bytes);
	if (fcntl(fd, F_ADD_SEALS, seals))
		abort();
	if (!flatiommu_dma_import(memory, fd, &dma)) {
		for (at = 0; at < dma->length; at += 512)
			flatiommu_dma_address(dma, at);
		((volatile char *)dma->memory)[dma->length - 1] = 1;
		flatiommu_dma_free(dma);
	}
	close(fd);
	close(memory);
	free(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const all[])(void) = { fuzz_bdf, fuzz_config, fuzz_regions, fuzz_import };

	if (!size)
		return 0;
	bytes = data + 1;
	nr_bytes = size - 1;
	all[data[0] % 4]();
	return 0;
}
