// SPDX-License-Identifier: MIT
/* VFIO groups in a container (linux/vfio.h), for type1 and for the no-IOMMU mode of groups. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

#define TYPE1 "vfio_iommu_type1"

static int open_group(struct flatiommu_device *device, const char *path, struct group **group)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct group *new;
	int err;

	for (new = device->flat->groups; new; new = new->next) {
		if (new->id == device->function.group) {
			*group = new;
			return 0;
		}
	}
	new = calloc(1, sizeof(*new));
	if (!new)
		return fail(device->flat, -ENOMEM, "%s: no memory for its group", device->name);
	new->id = device->function.group;
	new->fd = open(path, O_RDWR | O_CLOEXEC);
	if (new->fd < 0) {
		err = -errno;
		free(new);
		return explain_open(device->flat, device->name, path, err);
	}
	err = call(new->fd, VFIO_GROUP_GET_STATUS, &status);
	if (err)
		fail(device->flat, err, "%s: VFIO_GROUP_GET_STATUS: %s", path, ERRNO(err));
	else if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		err = fail(device->flat, -EPERM, "%s: functions beside it are bound to ordinary "
			   "drivers. Cure: flatiommu bind all of "
			   "/sys/kernel/iommu_groups/%d/devices", device->name, new->id);
	if (err) {
		close(new->fd);
		free(new);
		return err;
	}
	*group = new;
	return 0;
}

/* The group's first device puts the group into the container; the first group sets the IOMMU. */
static int join(struct flatiommu_device *device, struct group *group, unsigned long iommu)
{
	struct flatiommu *flat = device->flat;
	int err = call(group->fd, VFIO_GROUP_SET_CONTAINER, &flat->container);

	if (err)
		return explain_attach(device, "VFIO_GROUP_SET_CONTAINER", err, TYPE1);
	if (flat->groups)
		return 0;
	/* The argument is the number itself, not a pointer. */
	err = call(flat->container, VFIO_SET_IOMMU, (void *)iommu);
	if (err) {
		call(group->fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
		return explain_attach(device, "VFIO_SET_IOMMU", err, TYPE1);
	}
	return 0;
}

static void put_group(struct flatiommu *flat, struct group *group)
{
	struct group **link;

	if (--group->devices)
		return;
	for (link = &flat->groups; *link != group; link = &(*link)->next)
		;
	*link = group->next;
	/* This also takes the group out of the container. */
	close(group->fd);
	free(group);
}

/* VFIO returns -EINVAL for the token of a function that needs none. */
static int get_device_fd(struct flatiommu_device *device, const struct group *group)
{
	char name[80];
	int fd = -EINVAL;

	if (device->token[0]) {
		snprintf(name, sizeof(name), "%s vf_token=%s", device->function.bdf, device->token);
		fd = call(group->fd, VFIO_GROUP_GET_DEVICE_FD, name);
	}
	return fd == -EINVAL ? call(group->fd, VFIO_GROUP_GET_DEVICE_FD, device->function.bdf) : fd;
}

int group_attach(struct flatiommu_device *device, const char *path, unsigned long iommu)
{
	struct flatiommu *flat = device->flat;
	struct group *group = NULL;
	int err = open_group(device, path, &group);

	if (err)
		return err;
	if (!group->devices) {
		err = join(device, group, iommu);
		if (err) {
			close(group->fd);
			free(group);
			return err;
		}
		group->next = flat->groups;
		flat->groups = group;
	}
	group->devices++;
	device->fd = get_device_fd(device, group);
	if (device->fd < 0) {
		err = device->fd;
		put_group(flat, group);
		return err == -EACCES ? explain_token(device, "VFIO_GROUP_GET_DEVICE_FD") :
		       explain_device_fd(device, err);
	}
	device->group = group;
	return 0;
}

void group_detach(struct flatiommu_device *device)
{
	put_group(device->flat, device->group);
	device->group = NULL;
}
