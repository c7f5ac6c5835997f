// SPDX-License-Identifier: MIT
/* The life of a context. */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

int flatiommu_open(struct flatiommu **flat)
{
	struct flatiommu *new;

	if (!flat)
		return -EINVAL;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->container = -1;
	new->iommufd = -1;
	new->flat = -1;
	new->reasons.thread = pthread_self();
	pthread_mutex_init(&new->lock, NULL);
	pthread_mutex_init(&new->reason_lock, NULL);
	*flat = new;
	return 0;
}

void flatiommu_close(struct flatiommu *flat)
{
	struct flatiommu_device *device;

	if (!flat)
		return;
	pthread_mutex_lock(&flat->lock);
	/* All stop before the first one's memory goes. */
	for (device = flat->devices; device; device = device->next)
		stop_device(device);
	/* Buffers before devices: without the last device there is nothing to unmap them from. */
	while (flat->buffers)
		free_buffer(flat->buffers);
	while (flat->devices) {
		device = flat->devices;
		flat->devices = device->next;
		flat->backend->detach(device);
		forget_device(device);
	}
	if (flat->backend && flat->backend->stop)
		flat->backend->stop(flat);
	close_fd(&flat->flat);
	iova_end(&flat->iovas);
	pthread_mutex_unlock(&flat->lock);
	free_reasons(flat);
	pthread_mutex_destroy(&flat->reason_lock);
	pthread_mutex_destroy(&flat->lock);
	free(flat);
}

void flatiommu_set_log(struct flatiommu *flat, void (*log)(void *arg, const char *line), void *arg)
{
	if (!flat)
		return;
	flat->log_arg = arg;
	flat->log = log;
}

/* What stands behind the context now: a device that is being opened tries one after the other. */
static const struct backend *backend_of(const struct flatiommu *flat)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&flat->lock;
	const struct backend *backend;

	pthread_mutex_lock(lock);
	backend = flat->backend;
	pthread_mutex_unlock(lock);
	return backend;
}

const char *flatiommu_backend(const struct flatiommu *flat)
{
	const struct backend *backend = flat ? backend_of(flat) : NULL;

	return backend ? backend->name : "";
}

const char *flatiommu_backend_reason(const struct flatiommu *flat)
{
	return flat ? flat->backend_reason : "";
}

bool flatiommu_isolated(const struct flatiommu *flat)
{
	const struct backend *backend = flat ? backend_of(flat) : NULL;

	return backend && backend->isolated;
}

const char *flatiommu_library_version(void)
{
	return FLATIOMMU_LIBRARY_VERSION;
}
