// SPDX-License-Identifier: MIT
/* Memory of the module, within the reach of the devices: FLATIOMMU_ALLOC of /dev/flatiommu. */
#include <errno.h>
#include <fcntl.h>
#include <linux/flatiommu.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"
#include "memory.h"

/*
 * Returns a file descriptor of /dev/flatiommu for one call, or -errno. Linux's no-IOMMU mode with
 * iommufd works without the module, and can allocate such memory only if the module is loaded.
 */
static int open_flat(struct flatiommu *flat)
{
	int fd;

	if (flat->devnode < 0) {
		fd = open("/dev/flatiommu", O_RDWR | O_CLOEXEC);
		return fd < 0 ? -EOPNOTSUPP : fd;
	}
	fd = fcntl(flat->devnode, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? fail(flat, -errno, "duplicating /dev/flatiommu: %s", ERRNO(-errno)) : fd;
}

/* Gets a file descriptor and a function for the call: any, as all have the same bus addresses. */
static int begin(struct flatiommu *flat, struct flatiommu_function *function, char *name,
		 size_t size)
{
	const struct flatiommu_device *device;
	int fd = -EOPNOTSUPP;

	pthread_mutex_lock(&flat->lock);
	device = flat->devices;
	if (device && !flat->backend->imported && !flat->backend->isolated) {
		fd = open_flat(flat);
		*function = flat_name(device);
		snprintf(name, size, "%s", device->name);
	}
	pthread_mutex_unlock(&flat->lock);
	return fd;
}

/* The call may need a while, so no lock of the context is held. */
static int alloc_file(struct flatiommu *flat, size_t length,
		      const struct flatiommu_dma_options *options)
{
	struct flatiommu_alloc arg = {
		.size = sizeof(arg),
		.address_bits = options->address_bits ? options->address_bits : 64,
		.node = options->flags & FLATIOMMU_DMA_ON_NODE ? options->node : -1,
		.length = length,
	};
	char name[32];
	int fd, err;

	if (options->flags & FLATIOMMU_DMA_CONTIGUOUS)
		arg.flags |= FLATIOMMU_ALLOC_CONTIGUOUS;
	if (options->flags & FLATIOMMU_DMA_ON_NODE && options->flags & FLATIOMMU_DMA_NO_FALLBACK)
		arg.flags |= FLATIOMMU_ALLOC_THIS_NODE;
	fd = begin(flat, &arg.function, name, sizeof(name));
	if (fd < 0)
		return fd;
	err = call(fd, FLATIOMMU_ALLOC, &arg);
	close(fd);
	/* The module is older, or the program has dropped its privilege after the open. */
	if (err == -ENOTTY || (err == -EPERM && why_no_rawio()))
		return -EOPNOTSUPP;
	return err ? explain_reach(flat, name, length, arg.address_bits, err) : arg.out_fd;
}

int reach_get(struct flatiommu *flat, size_t length, const struct flatiommu_dma_options *options,
	      struct memory *memory)
{
	int fd = alloc_file(flat, length, options);

	if (fd < 0)
		return fd;
	*memory = (struct memory){
		.size = (length + small_page_size() - 1) & ~(small_page_size() - 1),
		.page_size = small_page_size(),
		.file = fd,
	};
	memory->addr = mmap(NULL, memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory->addr == MAP_FAILED) {
		int err = -errno;

		close(fd);
		return fail(flat, err, "%zu bytes of /dev/flatiommu's memory: %s", length, ERRNO(err));
	}
	/* The mapping holds the memory. Only memory that can be exported needs its file. */
	if (!(options->flags & FLATIOMMU_DMA_SHARED))
		close_fd(&memory->file);
	return 0;
}

int reach_identify(int file, uint64_t *length, uint64_t *id)
{
	struct flatiommu_buffer arg = { .size = sizeof(arg) };
	int err = call(file, FLATIOMMU_BUFFER, &arg);

	*length = arg.out_length;
	*id = arg.out_id;
	return err;
}
