// SPDX-License-Identifier: MIT
/* Devices that another process has opened. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

static void forget_imported(struct flatiommu_device *device)
{
	(void)device;
}

/* The devices are attached in another process. */
const struct backend imported = {
	.name = "imported",
	.imported = true,
	.detach = forget_imported,
};

static int import_locked(struct flatiommu_device *new)
{
	struct flatiommu *flat = new->flat;
	int err;

	if (flat->backend && !flat->backend->imported)
		return fail(flat, -EXDEV, "%s: cannot be imported beside devices that were opened here. "
			    "Cure: import it in a context of its own", new->name);
	if (fcntl(new->fd, F_GETFD) < 0)
		return fail(flat, -EBADF, "%s: %d is not a file descriptor", new->name, new->fd);
	err = use_device(new);
	if (err)
		return err;
	/* As for devices that are opened here: execve() must close it. */
	if (fcntl(new->fd, F_SETFD, FD_CLOEXEC))
		return fail(flat, -errno, "%s: close-on-exec: %s", new->name, ERRNO(-errno));
	pthread_mutex_lock(&flat->lock);
	if (!flat->backend) {
		flat->backend = &imported;
		snprintf(flat->backend_reason, sizeof(flat->backend_reason),
			 "imported: another process opened %s", new->name);
	}
	pthread_mutex_unlock(&flat->lock);
	flat->attached++;
	list_device(new);
	return 0;
}

static int import_device(struct flatiommu *flat, int fd, const char *name,
			 struct flatiommu_device **device)
{
	struct flatiommu_device *new;
	int err;

	if (!name || !device)
		return fail(flat, -EINVAL, "flatiommu_device_import: NULL is no %s", name ? "device" : "name");
	if (strlen(name) >= sizeof(new->name))
		return fail(flat, -ENAMETOOLONG, "%s: a name of a device has at most %zu characters", name,
			    sizeof(new->name) - 1);
	new = new_device(flat, name);
	if (!new)
		return -ENOMEM;
	new->fd = fd;
	new->function.group = -1;
	pthread_mutex_lock(&flat->open_lock);
	err = import_locked(new);
	pthread_mutex_unlock(&flat->open_lock);
	if (err)
		forget_device(new);
	else
		*device = new;
	return err;
}

int flatiommu_device_import(struct flatiommu *flat, int fd, const char *name,
			    struct flatiommu_device **device)
{
	return CALL(flat, import_device(flat, fd, name, device));
}
