// SPDX-License-Identifier: MIT
/*
 * dma-bufs: the kernel's way to share memory between drivers. A dma-buf of another driver becomes a
 * buffer, and a buffer becomes a dma-buf for other drivers, by udmabuf.
 *
 * The kernel pins no pages of a program's mapping of a dma-buf. On flatiommu.ko and with
 * noiommu-group the module attaches to it. VFIO does not: type1 attaches to none, and iommufd only
 * to dma-bufs of VFIO.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/udmabuf.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "internal.h"

/* Returns the bytes of a dma-buf, or -errno after fail(). */
static int64_t dmabuf_size(struct flatiommu *flat, int fd)
{
	struct statfs st;
	off_t size;

	if (fstatfs(fd, &st))
		return fail(flat, -errno, "flatiommu_dmabuf_import: %d: %s", fd, ERRNO(-errno));
	if (st.f_type != DMA_BUF_MAGIC)
		return fail(flat, -EINVAL, "flatiommu_dmabuf_import: %d is no dma-buf", fd);
	size = lseek(fd, 0, SEEK_END);
	return size > 0 ? size : fail(flat, -EINVAL, "the size of the dma-buf %d: %s", fd,
				      ERRNO(size ? -errno : -EINVAL));
}

/* Duplicates the file descriptor, and maps the memory: to write as well if the file allows it. */
static int map_dmabuf(struct flatiommu *flat, struct buffer *buffer, int fd)
{
	int64_t size = dmabuf_size(flat, fd);

	if (size < 0)
		return (int)size;
	buffer->file = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (buffer->file < 0)
		return fail(flat, -errno, "the file of a dma-buf: %s", ERRNO(-errno));
	buffer->pages = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->file,
			     0);
	if (buffer->pages == MAP_FAILED && errno == EACCES)
		buffer->pages = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, buffer->file, 0);
	if (buffer->pages == MAP_FAILED)
		return fail(flat, -errno, "the dma-buf %d: its exporter maps it for no program: %s",
			    fd, ERRNO(-errno));
	buffer->owned = true;
	buffer->span = (size_t)size;
	buffer->dma = (struct flatiommu_dma){
		.memory = buffer->pages,
		.length = (size_t)size,
		.page_size = small_page_size(),
		.impl = (void *)buffer,
	};
	return 0;
}

static int import(struct flatiommu *flat, int fd, const struct flatiommu_dma_options *options,
		  struct flatiommu_dma **dma)
{
	static const struct flatiommu_dma_options any;
	struct buffer *new;
	int err;

	if (!dma)
		return fail(flat, -EINVAL, "flatiommu_dmabuf_import: NULL is no buffer");
	if (!options)
		options = &any;
	err = check_map_options(flat, "flatiommu_dmabuf_import", 1, options);
	if (err)
		return err;
	new = calloc(1, sizeof(*new));
	if (!new)
		return fail(flat, -ENOMEM, "no memory for a buffer");
	new->file = -1;
	new->is_dmabuf = true;
	set_access(new, options);
	err = map_dmabuf(flat, new, fd);
	if (!err)
		return map_new(flat, new, options->address_bits, dma);
	free_memory(new);
	return err;
}

int flatiommu_dmabuf_import(struct flatiommu *flat, int dmabuf,
			    const struct flatiommu_dma_options *options, struct flatiommu_dma **dma)
{
	return CALL(flat, import(flat, dmabuf, options, dma));
}

static int explain_udmabuf(const struct buffer *buffer, int err)
{
	switch (err) {
	case -ENOENT:
		return fail(buffer->flat, -EOPNOTSUPP, "there is no /dev/udmabuf: this kernel makes no "
			    "dma-bufs of memory (CONFIG_UDMABUF), or a container needs it passed in");
	case -EINVAL:
		return fail(buffer->flat, err, "UDMABUF_CREATE: %zu bytes may be too much. Cure: "
			    "/sys/module/udmabuf/parameters/size_limit_mb", buffer->span);
	default:
		return fail(buffer->flat, err, "UDMABUF_CREATE: %s", ERRNO(err));
	}
}

static int export(const struct buffer *buffer, int *dmabuf)
{
	struct udmabuf_create arg = {
		.memfd = (uint32_t)buffer->file,
		.flags = UDMABUF_FLAGS_CLOEXEC,
		.size = buffer->span,
	};
	int node, ret;

	if (!dmabuf)
		return fail(buffer->flat, -EINVAL, "flatiommu_dmabuf_export: NULL is no file descriptor");
	if (buffer->is_dmabuf) {
		ret = fcntl(buffer->file, F_DUPFD_CLOEXEC, 0);
		if (ret < 0)
			return fail(buffer->flat, -errno, "the file of a dma-buf: %s", ERRNO(-errno));
		*dmabuf = ret;
		return 0;
	}
	/* udmabuf needs a file of memfd_create(). The file of the module's memory is none. */
	if (buffer->file < 0 || fcntl(buffer->file, F_GET_SEALS) < 0)
		return fail(buffer->flat, -EOPNOTSUPP, "the buffer at %p cannot be a dma-buf. Cure: "
			    "allocate it with FLATIOMMU_DMA_SHARED, and neither with few address "
			    "bits nor contiguous", buffer->dma.memory);
	node = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	if (node < 0)
		return errno == ENOENT ? explain_udmabuf(buffer, -ENOENT) :
					 explain_open(buffer->flat, "", "/dev/udmabuf", -errno);
	ret = ioctl(node, UDMABUF_CREATE, &arg);
	if (ret < 0)
		ret = explain_udmabuf(buffer, -errno);
	else
		*dmabuf = ret;
	close(node);
	return ret < 0 ? ret : 0;
}

int flatiommu_dmabuf_export(const struct flatiommu_dma *dma, int *dmabuf)
{
	return dma ? CALL(buffer_of(dma)->flat, export(buffer_of(dma), dmabuf)) : -EINVAL;
}
