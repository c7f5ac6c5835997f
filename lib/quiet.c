// SPDX-License-Identifier: MIT
/*
 * Memory that was freed, and that the module holds because a device may still write to it: with
 * on_unmap=hold, or if a claim has the option hold. The module cannot see whether a driver has
 * stopped its device, so the program has to tell it.
 */
#include <errno.h>
#include <linux/flatiommu.h>

#include "backend.h"
#include "internal.h"

/* open_lock is held. */
static int quiet_locked(struct flatiommu *flat)
{
	static const struct meaning meanings[] = {
		{ -EPERM, "the process has lost CAP_SYS_RAWIO" },
		{ 0, NULL }
	};
	int err;

	/* There is an IOMMU, or no device: nothing is held. */
	if (flat->devnode < 0)
		return 0;
	err = flat_quiet(flat);
	/* A module that is older holds nothing, and a function that is gone writes nothing. */
	if (!err || err == -ENOTTY || err == -ENODEV)
		return 0;
	return explain_by(flat, "devices of the context", "FLATIOMMU_QUIET", err, meanings);
}

static int quiet(struct flatiommu *flat)
{
	int err;

	pthread_mutex_lock(&flat->open_lock);
	err = quiet_locked(flat);
	pthread_mutex_unlock(&flat->open_lock);
	return err;
}

void device_is_quiet(struct flatiommu_device *device)
{
	struct flatiommu *flat = device->flat;
	bool alone;

	if (flat->backend->imported)
		return;
	pthread_mutex_lock(&flat->open_lock);
	pthread_mutex_lock(&flat->lock);
	alone = flat->devices == device && !device->next;
	pthread_mutex_unlock(&flat->lock);
	if (alone && flat->devnode >= 0)
		flat_quiet(flat);
	pthread_mutex_unlock(&flat->open_lock);
}

int flatiommu_quiet(struct flatiommu *flat)
{
	return CALL(flat, quiet(flat));
}
