// SPDX-License-Identifier: MIT
/* Chooses a device's backend: the first one that works of those that fit its group or node. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

bool is_flat(const struct sysfs_function *f)
{
	return !strcmp(f->group_name, "flatiommu");
}

bool is_noiommu_group(const struct sysfs_function *f)
{
	return !strcmp(f->group_name, "vfio-noiommu");
}

bool is_noiommu_cdev(const struct sysfs_function *f)
{
	return !strncmp(f->cdev, "noiommu-", strlen("noiommu-"));
}

bool has_iommu(const struct sysfs_function *f)
{
	/* Only the groups of a real IOMMU have no name. */
	return f->group >= 0 && !f->group_name[0] && !is_noiommu_cdev(f);
}

static bool has_cdev(const struct sysfs_function *f)
{
	return f->cdev[0] && !access("/dev/iommu", F_OK);
}

#define CANDIDATE(name, has, behind, needs_cdev) { &(name), has, behind, needs_cdev },

static const struct candidate {
	const struct backend *backend;
	/* Does the backend fit the device? @behind says why, for a message. */
	bool (*has)(const struct sysfs_function *f);
	const char *behind;
	bool needs_cdev;
} candidates[] = {
	BACKENDS(CANDIDATE)
};

/* A kernel may have no VFIO groups, though a function has an IOMMU group. */
static bool has_vfio_groups(void)
{
	/* After another error than ENOENT there may be groups. If there are none, open() fails. */
	return !access("/sys/class/vfio", F_OK) || errno != ENOENT;
}

static bool fits(const struct candidate *c, const struct sysfs_function *f)
{
	return c->has(f) && (c->needs_cdev ? has_cdev(f) : has_vfio_groups());
}

static void set_backend(struct flatiommu *flat, const struct backend *backend)
{
	pthread_mutex_lock(&flat->lock);
	flat->backend = backend;
	pthread_mutex_unlock(&flat->lock);
}

static int try_backend(struct flatiommu_device *device, const struct backend *backend)
{
	struct flatiommu *flat = device->flat;
	int err;

	set_backend(flat, backend);
	err = backend->start(flat);
	if (!err) {
		err = fault_begin(flat, backend);
		if (!err)
			err = backend->attach(device);
		if (err)
			backend->stop(flat);
	}
	if (err) {
		fault_end(flat);
		close_fd(&flat->devnode);
		set_backend(flat, NULL);
	}
	return err;
}

/* Returns why a backend with groups was chosen, and not its variant with iommufd. */
static const char *why_not_iommufd(const struct candidate *c, const struct sysfs_function *f)
{
	if (c->needs_cdev)
		return "";
	if (f->cdev[0])
		return ", and there is no /dev/iommu";
	return c->has == is_noiommu_group ? "" : ", and the kernel has no VFIO character devices";
}

static void tell_choice(struct flatiommu_device *device, const struct candidate *c, bool forced,
			const char *failed)
{
	const char *why = forced ? device->flat->wanted[0] ? ", and the program says so" :
					   ", and FLATIOMMU_BACKEND says so" :
			  failed[0] ? "; " : why_not_iommufd(c, &device->function);

	snprintf(device->flat->backend_reason, sizeof(device->flat->backend_reason), "%s: %s%s%.120s",
		 c->backend->name, c->behind, why, failed);
}

static const char *whose_wish(const struct flatiommu *flat)
{
	return flat->wanted[0] ? "options.backend" : "FLATIOMMU_BACKEND";
}

/* Fails because no backend fits the device. */
static int refuse(struct flatiommu_device *device, const char *forced)
{
	const struct sysfs_function *f = &device->function;
	const char *behind = "it has no IOMMU group";
	size_t i;

	for (i = 0; i < ARRAY_SIZE(candidates); i++) {
		const struct candidate *c = &candidates[i];

		if (!c->has(f))
			continue;
		behind = c->behind;
		if (forced && !strcmp(forced, c->backend->name)) {
			behind = !c->needs_cdev ? "this kernel has no VFIO groups" :
				 f->cdev[0] ? "there is no /dev/iommu; a container needs it passed "
					      "in" :
				 "this kernel has no VFIO character device for it";
			break;
		}
	}
	if (forced)
		return fail(device->flat, -EOPNOTSUPP, "%s: %s=%s is not possible: %s", f->bdf,
			    whose_wish(device->flat), forced, behind);
	if (f->cdev[0])
		return fail(device->flat, -EOPNOTSUPP, "%s: %s, and there is no /dev/iommu; a "
			    "container needs it passed in", f->bdf, behind);
	return fail(device->flat, -EOPNOTSUPP, "%s: it has no IOMMU group, so VFIO cannot open it. "
		    "Cure: flatiommu unbind %s && flatiommu bind %s", f->bdf, f->bdf, f->bdf);
}

/* Fails because no backend has the name @forced. */
static int refuse_unknown(struct flatiommu *flat, const char *forced)
{
	char names[32 * ARRAY_SIZE(candidates)] = "";
	size_t i, length = 0;

	for (i = 0; i < ARRAY_SIZE(candidates); i++)
		length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s", i ? ", " : "",
					   candidates[i].backend->name);
	return fail(flat, -EINVAL, "%s=%s: there is no such backend. There are: %s", whose_wish(flat),
		    forced, names);
}

static int join_backend(struct flatiommu_device *device)
{
	const struct backend *backend = device->flat->backend;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(candidates); i++)
		if (candidates[i].backend == backend && fits(&candidates[i], &device->function))
			return backend->attach(device);
	return fail(device->flat, -EXDEV, "%s: cannot share memory with devices on %s. Cure: open it in "
		    "a context of its own", device->name, backend->name);
}

int choose_backend(struct flatiommu_device *device)
{
	struct flatiommu *flat = device->flat;
	const char *forced = flat->wanted[0] ? flat->wanted : secure_getenv("FLATIOMMU_BACKEND");
	char failed[400] = "";
	int err, first_err = 0;
	bool known = false;
	unsigned int tried = 0;
	size_t i;

	if (flat->backend)
		return join_backend(device);
	if (forced && !forced[0])
		forced = NULL;
	for (i = 0; i < ARRAY_SIZE(candidates); i++) {
		const struct candidate *c = &candidates[i];

		if (forced && strcmp(forced, c->backend->name))
			continue;
		known = true;
		if (!fits(c, &device->function))
			continue;
		err = try_backend(device, c->backend);
		if (!err) {
			tell_choice(device, c, forced, failed);
			return 0;
		}
		if (tried++)
			continue;
		first_err = err;
		snprintf(failed, sizeof(failed), "%s failed: %.340s", c->backend->name,
			 latest_reason());
	}
	if (forced && !known)
		return refuse_unknown(flat, forced);
	if (tried > 1) {
		char last[512];

		snprintf(last, sizeof(last), "%.511s", latest_reason());
		return fail(flat, first_err, "%s; after that, %s", failed, last);
	}
	return tried ? first_err : refuse(device, forced);
}
