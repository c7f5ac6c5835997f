// SPDX-License-Identifier: MIT
/* The life of a context. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

/* The page is zero in a child. A child in a new PID namespace may have its parent's process ID. */
static int make_mark(struct flatiommu *flat)
{
	char *page = mmap(NULL, small_page_size(), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (page == MAP_FAILED)
		return -errno;
	if (madvise(page, small_page_size(), MADV_WIPEONFORK)) {
		err = -errno;
		munmap(page, small_page_size());
		return err;
	}
	*page = 1;
	flat->ours = page;
	return 0;
}

static void drop_mark(const struct flatiommu *flat)
{
	munmap((void *)flat->ours, small_page_size());
}

/* Does not call fail(): there is no context yet. */
static int read_options(struct flatiommu *flat, const struct flatiommu_options *options)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(options->reserved); i++)
		if (options->reserved[i])
			return -EOPNOTSUPP;
	if (options->flags)
		return -EOPNOTSUPP;
	if (!options->backend)
		return 0;
	/* An unknown name fails when the first device is opened. */
	if (!options->backend[0] || strlen(options->backend) >= sizeof(flat->wanted))
		return -EINVAL;
	strcpy(flat->wanted, options->backend);
	return 0;
}

int flatiommu_open(struct flatiommu **flat)
{
	return flatiommu_open_with(NULL, flat);
}

int flatiommu_open_with(const struct flatiommu_options *options, struct flatiommu **flat)
{
	struct flatiommu *new;
	int err;

	if (!flat)
		return -EINVAL;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->container = -1;
	new->iommufd = -1;
	new->devnode = -1;
	err = options ? read_options(new, options) : 0;
	if (!err)
		err = make_mark(new);
	if (err)
		goto error;
	err = begin_reasons(new);
	if (err)
		goto error_mark;
	pthread_mutex_init(&new->open_lock, NULL);
	pthread_mutex_init(&new->lock, NULL);
	pthread_mutex_init(&new->reason_lock, NULL);
	*flat = new;
	return 0;
error_mark:
	drop_mark(new);
error:
	free(new);
	return err;
}

static void free_context(struct flatiommu *flat)
{
	struct buffer *kept;

	while ((kept = flat->kept)) {
		flat->kept = kept->next;
		free(kept);
	}
	iova_end(&flat->iovas);
	fault_end(flat);
	free_reasons(flat);
	drop_mark(flat);
	free(flat);
}

static void close_files(struct flatiommu *flat)
{
	struct flatiommu_device *device;
	struct group *group;

	for (device = flat->devices; device; device = device->next)
		close_fd(&device->fd);
	for (group = flat->groups; group; group = group->next)
		close_fd(&group->fd);
	close_fd(&flat->container);
	close_fd(&flat->iommufd);
	close_fd(&flat->devnode);
}

/*
 * Frees a context in a child: the copies of the structs, and of the file descriptors. The devices
 * and pins are the parent's. Memory that devices reach was not copied.
 */
static void close_copy(struct flatiommu *flat)
{
	struct flatiommu_device *device;
	struct buffer *buffer;
	struct group *group;

	close_files(flat);
	/* If another thread of the parent had a lock at the fork, lists may be half-changed. */
	if (pthread_mutex_trylock(&flat->open_lock) || pthread_mutex_trylock(&flat->lock))
		return;
	forget_pools(flat);
	while ((buffer = flat->buffers)) {
		flat->buffers = buffer->next;
		forget_buffer(buffer);
	}
	while ((device = flat->devices)) {
		flat->devices = device->next;
		forget_device(device);
	}
	while ((group = flat->groups)) {
		flat->groups = group->next;
		free(group);
	}
	free_context(flat);
}

static void close_context(struct flatiommu *flat)
{
	struct flatiommu_device *device;

	/* All devices stop before any memory is freed. */
	for (device = flat->devices; device; device = device->next)
		stop_device(device);
	forget_pools(flat);
	/* Buffers before devices: without the last device there is nothing to unmap them from. */
	while (flat->buffers)
		free_buffer(flat->buffers);
	while ((device = flat->devices)) {
		flat->devices = device->next;
		end_device(device);
	}
	end_reasons(flat, false, 0);
	pthread_mutex_destroy(&flat->reason_lock);
	pthread_mutex_destroy(&flat->lock);
	pthread_mutex_destroy(&flat->open_lock);
	free_context(flat);
}

void flatiommu_close(struct flatiommu *flat)
{
	int cancel;

	if (!flat)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	if (is_ours(flat))
		close_context(flat);
	else
		close_copy(flat);
	pthread_setcancelstate(cancel, NULL);
}

/* A device that is being opened does not count: it tries one backend after the other. */
const struct backend *open_backend(const struct flatiommu *flat)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&flat->lock;
	const struct backend *backend;

	pthread_mutex_lock(lock);
	backend = flat->devices ? flat->backend : NULL;
	pthread_mutex_unlock(lock);
	return backend;
}

const char *flatiommu_backend(const struct flatiommu *flat)
{
	const struct backend *backend = flat && is_ours(flat) ? open_backend(flat) : NULL;

	return backend ? backend->name : "";
}

const char *flatiommu_backend_reason(const struct flatiommu *flat)
{
	return flat && is_ours(flat) ? flat->backend_reason : "";
}

bool flatiommu_isolated(const struct flatiommu *flat)
{
	const struct backend *backend = flat && is_ours(flat) ? open_backend(flat) : NULL;

	return backend && backend->isolated;
}

const char *flatiommu_library_version(void)
{
	return FLATIOMMU_LIBRARY_VERSION;
}
