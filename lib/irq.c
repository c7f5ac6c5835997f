// SPDX-License-Identifier: MIT
/* Interrupts as eventfds. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static const char *const names[NR_IRQS] = { "INTx", "MSI", "MSI-X", "error", "request" };

static int check(struct flatiommu_device *device, enum flatiommu_irq irq)
{
	if ((unsigned int)irq < NR_IRQS)
		return 0;
	return fail(device->flat, -EINVAL, "%s: there is no interrupt %u", device->name, irq);
}

static int get_info(struct flatiommu_device *device, enum flatiommu_irq irq,
		    struct vfio_irq_info *info)
{
	int err;

	*info = (struct vfio_irq_info){ .argsz = sizeof(*info), .index = irq };
	err = call(device->fd, VFIO_DEVICE_GET_IRQ_INFO, info);
	/* The device cannot have this kind, such as FLATIOMMU_IRQ_ERROR if it is not PCIe. */
	if (err == -EINVAL) {
		info->count = 0;
		return 0;
	}
	if (err)
		return fail(device->flat, err, "%s: VFIO_DEVICE_GET_IRQ_INFO %s: %s", device->name,
			    names[irq], ERRNO(err));
	return 0;
}

static int vectors(struct flatiommu_device *device, enum flatiommu_irq irq)
{
	struct vfio_irq_info info;
	int err = check(device, irq);

	if (!err)
		err = get_info(device, irq, &info);
	return err ? err : (int)info.count;
}

int flatiommu_irq_vectors(struct flatiommu_device *device, enum flatiommu_irq irq)
{
	return CALL_DEVICE(device, vectors(device, irq));
}

/* VFIO enables only one of INTx, MSI and MSI-X. */
static int check_others(struct flatiommu_device *device, enum flatiommu_irq irq)
{
	unsigned int i;

	for (i = FLATIOMMU_IRQ_INTX; irq <= FLATIOMMU_IRQ_MSIX && i <= FLATIOMMU_IRQ_MSIX; i++)
		if (i != irq && device->enabled[i])
			return fail(device->flat, -EBUSY, "%s: %s is enabled. Cure: disable it first",
				    device->name, names[i]);
	return 0;
}

static bool is_eventfd(int fd)
{
	char path[32], target[32];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target) - 1);
	target[length > 0 ? length : 0] = 0;
	/* If /proc is not mounted, any open file may be an eventfd. */
	return !strcmp(target, "anon_inode:[eventfd]") || (length < 0 && fcntl(fd, F_GETFD) >= 0);
}

static int explain_eventfds(struct flatiommu_device *device, enum flatiommu_irq irq,
			    unsigned int count, const int *eventfds, int err)
{
	const struct meaning meanings[] = {
		{ -EBUSY, "another driver uses its interrupt line exclusively. Cure: MSI or MSI-X" },
		{ -ENODEV, irq == FLATIOMMU_IRQ_INTX ? "it has no interrupt line" :
		  "MSI is disabled in the kernel (pci=nomsi)" },
		{ -ENOSPC, "the machine has no vectors left" },
		{ 0, NULL }
	};
	char what[64];
	unsigned int i;

	for (i = 0; (err == -EINVAL || err == -EBADF) && i < count; i++)
		if (eventfds[i] >= 0 && !is_eventfd(eventfds[i]))
			return fail(device->flat, -EBADF, "%s: %s: file descriptor %d is not an eventfd",
				    device->name, names[irq], eventfds[i]);
	if (err == -EINVAL && device->flat->backend->imported)
		return fail(device->flat, -EBUSY, "%s: %s: another process has enabled interrupts "
			    "of another kind. Cure: flatiommu_irq_disable()", device->name,
			    names[irq]);
	snprintf(what, sizeof(what), "%s: %u of %s", device->name, count, names[irq]);
	return explain_by(device->flat, what, "VFIO_DEVICE_SET_IRQS", err, meanings);
}

static int set_eventfds(struct flatiommu_device *device, enum flatiommu_irq irq, unsigned int first,
			unsigned int count, const int *eventfds)
{
	size_t size = sizeof(struct vfio_irq_set) + count * sizeof(*eventfds);
	struct vfio_irq_set *set;
	unsigned int i;
	int ret;

	/* To the kernel any negative number would mean -1. */
	for (i = 0; i < count; i++)
		if (eventfds[i] < -1)
			return fail(device->flat, -EBADF, "%s: %s: %d is no eventfd", device->name,
				    names[irq], eventfds[i]);
	set = calloc(1, size);
	if (!set)
		return fail(device->flat, -ENOMEM, "%s: no memory for %u vectors", device->name, count);
	set->argsz = (uint32_t)size;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = irq;
	set->start = first;
	set->count = count;
	memcpy(set->data, eventfds, count * sizeof(*eventfds));
	ret = call(device->fd, VFIO_DEVICE_SET_IRQS, set);
	free(set);
	if (!ret)
		return 0;
	/* A positive value is the number of vectors that the machine has left. */
	if (ret > 0)
		return fail(device->flat, -ENOSPC, "%s: the machine has %d vectors left for its %s, not %u",
			    device->name, ret, names[irq], first + count);
	return explain_eventfds(device, irq, count, eventfds, ret);
}

/* INTx is forbidden unless this program handles it. Another one may, if the device is imported. */
static void forbid_intx(struct flatiommu_device *device)
{
	if (!device->intx_signals && !device->flat->backend->imported)
		set_intx(device, false);
}

/* INTx has an eventfd, or has none. The handler is there already, as the line may be asserted. */
static int handle_intx(struct flatiommu_device *device, bool signals)
{
	device->intx_signals = signals;
	return set_intx(device, signals);
}

static int enable_locked(struct flatiommu_device *device, enum flatiommu_irq irq,
			 unsigned int first, unsigned int count, const int *eventfds)
{
	unsigned int end = first + count, *enabled = &device->enabled[irq];
	struct vfio_irq_info info;
	int err = get_info(device, irq, &info);

	if (err)
		return err;
	if (first >= info.count || count > info.count - first)
		return fail(device->flat, -ENXIO, "%s: it has %u vectors of %s, not %u from %u on",
			    device->name, info.count, names[irq], count, first);
	err = check_others(device, irq);
	if (err)
		return err;
	if (*enabled && end > *enabled && info.flags & VFIO_IRQ_INFO_NORESIZE)
		return fail(device->flat, -EOPNOTSUPP, "%s: this kernel cannot add vectors of %s "
			    "after the %u that are enabled. Cure: disable them, and enable %u at "
			    "once",
			    device->name, names[irq], *enabled, end);
	err = set_eventfds(device, irq, first, count, eventfds);
	/* If MSIs cannot be enabled, VFIO has allowed INTx meanwhile. */
	if (err && irq <= FLATIOMMU_IRQ_MSIX && irq != FLATIOMMU_IRQ_INTX)
		forbid_intx(device);
	if (!err && irq == FLATIOMMU_IRQ_INTX)
		err = handle_intx(device, eventfds[0] >= 0);
	if (err)
		return err;
	/* FLATIOMMU_IRQ_ERROR and _REQUEST are enabled only while they have an eventfd. */
	if (irq > FLATIOMMU_IRQ_MSIX)
		*enabled = eventfds[0] >= 0;
	else if (end > *enabled)
		*enabled = end;
	return 0;
}

static int enable(struct flatiommu_device *device, enum flatiommu_irq irq, unsigned int first,
		  unsigned int count, const int *eventfds)
{
	int err = check(device, irq);

	if (err)
		return err;
	if (!count || !eventfds)
		return fail(device->flat, -EINVAL, "%s: flatiommu_irq_enable: no %s", device->name,
			    count ? "eventfds" : "vectors");
	pthread_mutex_lock(&device->lock);
	err = enable_locked(device, irq, first, count, eventfds);
	pthread_mutex_unlock(&device->lock);
	return err;
}

int flatiommu_irq_enable(struct flatiommu_device *device, enum flatiommu_irq irq,
			 unsigned int first, unsigned int count, const int *eventfds)
{
	return CALL_DEVICE(device, enable(device, irq, first, count, eventfds));
}

/* An action without data. */
static int set_action(struct flatiommu_device *device, enum flatiommu_irq irq, uint32_t action,
		      unsigned int start, unsigned int count)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | action,
		.index = irq,
		.start = start,
		.count = count,
	};
	int err = call(device->fd, VFIO_DEVICE_SET_IRQS, &set);

	if (err)
		return fail(device->flat, err, "%s: VFIO_DEVICE_SET_IRQS of %s: %s", device->name,
			    names[irq], ERRNO(err));
	return 0;
}

static int disable_locked(struct flatiommu_device *device, enum flatiommu_irq irq)
{
	int err = 0;

	if (device->enabled[irq])
		err = set_action(device, irq, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0);
	if (err)
		return err;
	if (irq <= FLATIOMMU_IRQ_MSIX && device->enabled[irq])
		handle_intx(device, false);
	device->enabled[irq] = 0;
	return 0;
}

/* Disables vectors of an imported device that another process has enabled, if there are any. */
static void disable_others(struct flatiommu_device *device, enum flatiommu_irq irq)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = irq,
	};

	call(device->fd, VFIO_DEVICE_SET_IRQS, &set);
}

void disable_irqs(struct flatiommu_device *device, bool all)
{
	unsigned int i;

	for (i = 0; i < NR_IRQS; i++)
		if (all || i != FLATIOMMU_IRQ_REQUEST)
			disable_locked(device, i);
}

static int disable(struct flatiommu_device *device, enum flatiommu_irq irq)
{
	int err = check(device, irq);

	if (err)
		return err;
	pthread_mutex_lock(&device->lock);
	err = disable_locked(device, irq);
	if (device->flat->backend->imported) {
		disable_others(device, irq);
		if (irq <= FLATIOMMU_IRQ_MSIX)
			set_intx(device, false);
	}
	pthread_mutex_unlock(&device->lock);
	return err;
}

int flatiommu_irq_disable(struct flatiommu_device *device, enum flatiommu_irq irq)
{
	return CALL_DEVICE(device, disable(device, irq));
}

static int act(struct flatiommu_device *device, enum flatiommu_irq irq, uint32_t action,
	       unsigned int vector)
{
	int err;

	pthread_mutex_lock(&device->lock);
	if (vector >= device->enabled[irq])
		err = fail(device->flat, -ENXIO, "%s: vector %u of %s is not enabled", device->name, vector,
			   names[irq]);
	else if (irq != FLATIOMMU_IRQ_INTX || action != VFIO_IRQ_SET_ACTION_TRIGGER ||
		 device->intx_signals)
		err = set_action(device, irq, action, vector, 1);
	else
		err = 0;	/* kernels without the fix of CVE-2024-26812 would crash */
	pthread_mutex_unlock(&device->lock);
	return err;
}

static int trigger(struct flatiommu_device *device, enum flatiommu_irq irq, unsigned int vector)
{
	int err = check(device, irq);

	return err ? err : act(device, irq, VFIO_IRQ_SET_ACTION_TRIGGER, vector);
}

int flatiommu_irq_trigger(struct flatiommu_device *device, enum flatiommu_irq irq,
			  unsigned int vector)
{
	return CALL_DEVICE(device, trigger(device, irq, vector));
}

static int act_on_intx(struct flatiommu_device *device, enum flatiommu_irq irq, uint32_t action)
{
	int err = check(device, irq);

	if (err)
		return err;
	if (irq != FLATIOMMU_IRQ_INTX)
		return fail(device->flat, -EOPNOTSUPP, "%s: VFIO can mask INTx only, not %s", device->name,
			    names[irq]);
	return act(device, irq, action, 0);
}

int flatiommu_irq_mask(struct flatiommu_device *device, enum flatiommu_irq irq)
{
	return CALL_DEVICE(device, act_on_intx(device, irq, VFIO_IRQ_SET_ACTION_MASK));
}

int flatiommu_irq_unmask(struct flatiommu_device *device, enum flatiommu_irq irq)
{
	return CALL_DEVICE(device, act_on_intx(device, irq, VFIO_IRQ_SET_ACTION_UNMASK));
}
