// SPDX-License-Identifier: MIT
/* Reset of a function, and of the slot or bus that it is on. */
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static int reset(struct flatiommu_device *device)
{
	static const struct meaning meanings[] = {
		{ -EAGAIN, "it is being bound, unbound or reset. Cure: try again" },
		{ -ENOTTY, "it does not answer, or cannot be reset any more" },
		{ 0, NULL }
	};
	int err;

	if (!(device->flags & VFIO_DEVICE_FLAGS_RESET))
		return fail(device->flat, -EOPNOTSUPP, "%s: has no reset of its own. Cure: "
			    "flatiommu_hot_reset()", device->name);
	pthread_mutex_lock(&device->lock);
	err = call(device->fd, VFIO_DEVICE_RESET, NULL);
	pthread_mutex_unlock(&device->lock);
	if (err)
		return explain_by(device->flat, device->name, "VFIO_DEVICE_RESET", err, meanings);
	device_is_quiet(device);
	return 0;
}

int flatiommu_reset(struct flatiommu_device *device)
{
	return CALL_DEVICE(device, reset(device));
}

/* flat->lock is held. */
static bool is_open(const struct flatiommu *flat, const struct vfio_pci_dependent_device *other)
{
	const struct flatiommu_device *device;

	for (device = flat->devices; device; device = device->next)
		if (device->function.segment == other->segment &&
		    device->function.bus == other->bus && device->function.devfn == other->devfn)
			return true;
	return false;
}

/* Writes the names of functions that would be reset, too, and are not open in this context. */
static void name_strangers(struct flatiommu *flat, const struct vfio_pci_hot_reset_info *info,
			   char *text, size_t size)
{
	size_t used = 0;
	uint32_t i;

	text[0] = 0;
	pthread_mutex_lock(&flat->lock);
	for (i = 0; i < info->count && used < size; i++) {
		const struct vfio_pci_dependent_device *other = &info->devices[i];

		if (!is_open(flat, other))
			used += (size_t)snprintf(text + used, size - used, " %04x:%02x:%02x.%x",
						 other->segment, other->bus, other->devfn >> 3,
						 other->devfn & 7);
	}
	pthread_mutex_unlock(&flat->lock);
}

/* Gets the list of functions that a hot reset affects; the caller frees it. */
static int get_reset_info(struct flatiommu_device *device, struct vfio_pci_hot_reset_info **info)
{
	struct vfio_pci_hot_reset_info head = { .argsz = sizeof(head) };
	size_t size;
	int err;

	*info = NULL;
	/* Without room the call fails with ENOSPC and sets the number of functions. */
	err = call(device->fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &head);
	if (err && err != -ENOSPC)
		return err;
	size = sizeof(head) + head.count * sizeof(head.devices[0]);
	*info = calloc(1, size);
	if (!*info)
		return -ENOMEM;
	(*info)->argsz = (uint32_t)size;
	err = call(device->fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, *info);
	if (err) {
		free(*info);
		*info = NULL;
	}
	return err;
}

static bool is_reset_too(const struct group *group, const struct vfio_pci_hot_reset_info *info)
{
	uint32_t i;

	for (i = 0; i < info->count; i++)
		if (info->devices[i].group_id == (uint32_t)group->id)
			return true;
	return false;
}

/*
 * The groups' files prove that the functions are ours; VFIO fails for groups of other functions.
 * Devices on iommufd have no group files: there the device's binding is the proof.
 */
static int reset_all_of(struct flatiommu_device *device, const struct vfio_pci_hot_reset_info *info)
{
	size_t size = sizeof(struct vfio_pci_hot_reset) + info->count * sizeof(__s32);
	struct vfio_pci_hot_reset *arg = calloc(1, size);
	const struct group *group;
	int err;

	if (!arg)
		return -ENOMEM;
	arg->argsz = (uint32_t)size;
	for (group = device->flat->groups; group; group = group->next)
		if (is_reset_too(group, info))
			arg->group_fds[arg->count++] = group->fd;
	err = call(device->fd, VFIO_DEVICE_PCI_HOT_RESET, arg);
	free(arg);
	return err;
}

static int hot_reset_locked(struct flatiommu_device *device)
{
	static const struct meaning meanings[] = {
		{ -EAGAIN, "a function beside it is being bound, unbound or reset. Cure: try again" },
		{ -EBUSY, "a function beside it is in use at this moment. Cure: try again" },
		{ 0, NULL }
	};
	struct vfio_pci_hot_reset_info *info;
	char strangers[256];
	int err = get_reset_info(device, &info);

	if (err == -ENODEV)
		return fail(device->flat, -EOPNOTSUPP, "%s: neither its slot nor its bus can be reset",
			    device->name);
	if (err == -EPERM)
		return fail(device->flat, err, "%s: a function beside it is not bound to a VFIO driver. "
			    "Cure: flatiommu bind all functions of its bus", device->name);
	if (err)
		return fail(device->flat, err, "%s: VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: %s", device->name,
			    ERRNO(err));
	name_strangers(device->flat, info, strangers, sizeof(strangers));
	err = reset_all_of(device, info);
	free(info);
	if (!err)
		return 0;
	/* VFIO returns either errno if a function is not ours. */
	if ((err == -EINVAL || err == -EPERM) && strangers[0])
		return fail(device->flat, -EPERM, "%s: a hot reset would also reset these, which "
			    "are not open in this context:%s", device->name, strangers);
	return explain_by(device->flat, device->name, "VFIO_DEVICE_PCI_HOT_RESET", err, meanings);
}

static int hot_reset(struct flatiommu_device *device)
{
	int err;

	if (device->flat->backend->imported)
		return fail(device->flat, -EOPNOTSUPP, "%s: only the process that opened it can "
			    "reset its bus",
			    device->name);
	/* The call needs the files of groups: open_lock keeps them open. */
	pthread_mutex_lock(&device->flat->open_lock);
	err = hot_reset_locked(device);
	pthread_mutex_unlock(&device->flat->open_lock);
	if (!err)
		device_is_quiet(device);
	return err;
}

int flatiommu_hot_reset(struct flatiommu_device *device)
{
	return CALL_DEVICE(device, hot_reset(device));
}
