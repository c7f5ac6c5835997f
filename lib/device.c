// SPDX-License-Identifier: MIT
/* Opens devices, and keeps the list of them. */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define TOKEN " vf_token="

/* Checks what sysfs says before VFIO is called, because VFIO's errors are terse. */
static int look_at(struct flatiommu_device *device)
{
	struct sysfs_function *f = &device->function;
	int err = read_function(f);

	if (err == -ENODEV)
		return fail(device->flat, err, "%s: no such PCI function (lspci -D lists them)", f->bdf);
	if (err)
		return fail(device->flat, err, "%s: reading /sys/bus/pci/devices: %s", f->bdf,
			    ERRNO(err));
	if (!strncmp(f->driver, "vfio", strlen("vfio")) || f->cdev[0])
		return 0;
	return fail(device->flat, -ENXIO, "%s: %s%s, not to vfio-pci. Cure: flatiommu bind %s", f->bdf,
		    f->driver[0] ? "bound to " : "bound to no driver", f->driver, f->bdf);
}

int use_device(struct flatiommu_device *device)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int err = call(device->fd, VFIO_DEVICE_GET_INFO, &info);

	if (err)
		return fail(device->flat, err, "%s: VFIO_DEVICE_GET_INFO: %s", device->name, ERRNO(err));
	if (!(info.flags & VFIO_DEVICE_FLAGS_PCI))
		return fail(device->flat, -ENOTTY, "%s: not a PCI device", device->name);
	device->flags = info.flags;
	return read_regions(device, info.num_regions);
}

/* Takes the IOVAs of a list of buffers. Pinned buffers have none. */
static int take_iovas(struct iova_space *space, const struct buffer *buffer)
{
	int err = 0;

	for (; buffer && !err; buffer = buffer->next)
		err = buffer->iova ? iova_take(space, buffer->iova, buffer->span) : 0;
	return err;
}

/* Makes a space of @ranges without the IOVAs that are in use. */
static int make_space(const struct flatiommu *flat, struct iova_space *space,
		      struct iova_range *ranges, size_t count)
{
	int err = iova_allow(space, ranges, count);

	if (err) {
		free(ranges);
		return err;
	}
	err = take_iovas(space, flat->buffers);
	return err ? err : take_iovas(space, flat->kept);
}

/* Reads the IOVAs that all devices accept. Each new device may make them fewer. */
static int update_iovas(struct flatiommu *flat)
{
	struct iova_space new = { 0 };
	struct iova_range *ranges;
	int count, err;

	if (!flat->backend->iovas)
		return 0;
	count = flat->backend->iovas(flat, &ranges);
	if (count < 0)
		return count;
	pthread_mutex_lock(&flat->lock);
	err = make_space(flat, &new, ranges, (size_t)count);
	/* On an error the old space stays. */
	iova_end(err ? &new : &flat->iovas);
	if (!err) {
		flat->iovas = new;
		flat->iovas_changed++;
	}
	pthread_mutex_unlock(&flat->lock);
	return err ? fail(flat, err, "no memory for the ranges of IOVAs") : 0;
}

void forget_device(struct flatiommu_device *device)
{
	struct view *view;

	/* Views are left in a child only, where nothing is mapped. */
	while ((view = device->views)) {
		device->views = view->next;
		free(view);
	}
	while ((view = device->ended_views)) {
		device->ended_views = view->next_ended;
		free(view);
	}
	free_regions(device);
	free(device);
}

struct flatiommu_device *new_device(struct flatiommu *flat, const char *name)
{
	struct flatiommu_device *new = calloc(1, sizeof(*new));

	if (!new) {
		fail(flat, -ENOMEM, "%s: no memory for it", name);
		return NULL;
	}
	new->flat = flat;
	new->fd = -1;
	strcpy(new->name, name);
	pthread_mutex_init(&new->lock, NULL);
	return new;
}

bool list_device(struct flatiommu_device *device)
{
	struct flatiommu *flat = device->flat;
	bool alone;

	pthread_mutex_lock(&flat->lock);
	alone = !flat->devices;
	device->next = flat->devices;
	flat->devices = device;
	flat->devices_changed++;
	pthread_mutex_unlock(&flat->lock);
	return alone;
}

void unlink_device(struct flatiommu_device *device)
{
	struct flatiommu_device **link;

	for (link = &device->flat->devices; *link != device; link = &(*link)->next)
		;
	*link = device->next;
	device->flat->devices_changed++;
}

/* The context has no attached device any more: the next one may have another backend. */
static void end_backend(struct flatiommu *flat)
{
	struct buffer *kept;

	if (flat->backend->stop)
		flat->backend->stop(flat);
	close_fd(&flat->devnode);
	pthread_mutex_lock(&flat->lock);
	/* Not freed: flatiommu_dma_free() of another thread may still be about to return. */
	for (kept = flat->kept; kept; kept = kept->next)
		kept->iova = 0;
	fault_end(flat);
	iova_end(&flat->iovas);
	flat->backend = NULL;
	flat->backend_reason[0] = 0;
	pthread_mutex_unlock(&flat->lock);
}

void detach_device(struct flatiommu_device *device)
{
	struct flatiommu *flat = device->flat;

	flat->backend->detach(device);
	if (!--flat->attached)
		end_backend(flat);
}

/*
 * Returns the context's device for this function, or NULL. *@was_open: the program has it open.
 * Otherwise it was kept for the buffers, and is now not stopped any more.
 */
static struct flatiommu_device *take_known(struct flatiommu *flat, const struct sysfs_function *f,
					   bool *was_open)
{
	struct flatiommu_device *device;

	pthread_mutex_lock(&flat->lock);
	for (device = flat->devices; device; device = device->next)
		if (!strcmp(device->function.bdf, f->bdf))
			break;
	*was_open = device && !device->stopped;
	if (device)
		device->stopped = false;
	pthread_mutex_unlock(&flat->lock);
	return device;
}

/* As VFIO does when it opens a device. Only a reset that may succeed later is an error. */
static int reset_again(struct flatiommu_device *device)
{
	if (!(device->flags & VFIO_DEVICE_FLAGS_RESET) ||
	    call(device->fd, VFIO_DEVICE_RESET, NULL) != -EAGAIN)
		return 0;
	return fail(device->flat, -EAGAIN, "%s: it is being bound, unbound or reset. Cure: try again",
		    device->name);
}

/* Opens a kept device again. Ends FLATIOMMU_IRQ_REQUEST, which was enabled before the close. */
static int open_again(struct flatiommu_device *device)
{
	int err;

	pthread_mutex_lock(&device->lock);
	disable_irqs(device, true);
	err = begin_command(device);
	/*
	 * The reset at the close may have failed, or another device was still open then. Only now,
	 * because the kernel would wait for a function that is gone.
	 */
	if (!err && !device->was_reset)
		err = reset_again(device);
	if (!err && !device->was_reset)
		err = begin_command(device);
	pthread_mutex_unlock(&device->lock);
	if (err) {
		pthread_mutex_lock(&device->flat->lock);
		device->stopped = true;
		pthread_mutex_unlock(&device->flat->lock);
	}
	return err;
}

/* Lists the device, so that new pins are for it, too, and checks that existing pins are. */
static int join(struct flatiommu_device *device)
{
	struct flatiommu *flat = device->flat;
	int err;

	/*
	 * From now on other threads pin memory for this device, too. If it is the only one, there
	 * are no earlier pins.
	 */
	if (list_device(device))
		return 0;
	err = join_pins(device);
	if (!err)
		return 0;
	pthread_mutex_lock(&flat->lock);
	unlink_device(device);
	pthread_mutex_unlock(&flat->lock);
	return err;
}

static int open_locked(struct flatiommu *flat, const struct sysfs_function *f, const char *token,
		       struct flatiommu_device **device)
{
	bool was_open;
	struct flatiommu_device *new = take_known(flat, f, &was_open);
	int err;

	if (was_open)
		return fail(flat, -EBUSY, "%s: it is open in this context", f->bdf);
	if (new) {
		err = open_again(new);
		if (!err)
			*device = new;
		return err;
	}
	if (flat->backend && flat->backend->imported)
		return fail(flat, -EXDEV, "%s: cannot be opened beside imported devices. Cure: open it in "
			    "a context of its own", f->bdf);
	new = new_device(flat, f->bdf);
	if (!new)
		return -ENOMEM;
	new->function = *f;
	err = look_at(new);
	if (!err)
		err = read_token(new, token);
	if (!err)
		err = choose_backend(new);
	if (err) {
		free(new);
		return err;
	}
	flat->attached++;
	err = use_device(new);
	if (!err)
		err = read_bar_addresses(new);
	if (!err)
		err = begin_command(new);
	if (!err)
		err = update_iovas(flat);
	if (!err)
		err = join(new);
	if (err) {
		close_fd(&new->fd);
		detach_device(new);
		forget_device(new);
		return err;
	}
	*device = new;
	return 0;
}

static int open_device(struct flatiommu *flat, const char *bdf, const char *token,
		       struct flatiommu_device **device)
{
	struct sysfs_function f;
	int err;

	if (parse_bdf(bdf, &f))
		return fail(flat, -EINVAL, "%s: not a PCI address such as 0000:01:00.0 (lspci -D lists "
			    "them)", bdf);
	pthread_mutex_lock(&flat->open_lock);
	err = open_locked(flat, &f, token, device);
	pthread_mutex_unlock(&flat->open_lock);
	/* A kept device is not needed if this one is open, or if the last buffer was freed. */
	drop_stopped_devices(flat);
	return err;
}

/* Opens a device by a name such as VFIO's: "0000:01:00.1 vf_token=UUID". */
static int open_by_name(struct flatiommu *flat, const char *name, struct flatiommu_device **device)
{
	const char *token;
	char address[32];
	size_t length;

	if (!name || !device)
		return fail(flat, -EINVAL, "flatiommu_device_open: NULL is no %s",
			    name ? "device" : "address");
	token = strstr(name, TOKEN);
	if (!token)
		return open_device(flat, name, NULL, device);
	length = (size_t)(token - name);
	if (length < sizeof(address))
		memcpy(address, name, length);
	address[length < sizeof(address) ? length : 0] = 0;
	return open_device(flat, address, token + strlen(TOKEN), device);
}

int flatiommu_device_open(struct flatiommu *flat, const char *bdf, struct flatiommu_device **device)
{
	return CALL(flat, open_by_name(flat, bdf, device));
}

static int open_with(struct flatiommu *flat, const char *bdf,
		     const struct flatiommu_device_options *options,
		     struct flatiommu_device **device)
{
	static const struct flatiommu_device_options any;
	uint64_t used;
	size_t i;

	if (!bdf || !device)
		return fail(flat, -EINVAL, "flatiommu_device_open_with: NULL is no %s",
			    bdf ? "device" : "address");
	if (!options)
		options = &any;
	used = options->flags;
	for (i = 0; i < ARRAY_SIZE(options->reserved); i++)
		used |= options->reserved[i];
	if (used)
		return fail(flat, -EOPNOTSUPP, "%s: options of a device: flags or reserved is not 0",
			    bdf);
	return open_device(flat, bdf, options->vf_token, device);
}

int flatiommu_device_open_with(struct flatiommu *flat, const char *bdf,
			       const struct flatiommu_device_options *options,
			       struct flatiommu_device **device)
{
	return CALL(flat, open_with(flat, bdf, options, device));
}

const char *flatiommu_device_name(const struct flatiommu_device *device)
{
	return device ? device->name : "";
}

static int get_info(struct flatiommu_device *device, struct flatiommu_device_info *info)
{
	const struct backend *backend = device->flat->backend;
	struct flatiommu_device_info all = { .node = -1 };
	unsigned int i;
	int err = 0;

	if (!info)
		return fail(device->flat, -EINVAL, "%s: NULL is no information", device->name);
	all.group = device->function.group;
	if (device->flags & VFIO_DEVICE_FLAGS_RESET)
		all.flags |= FLATIOMMU_DEVICE_CAN_RESET;
	if (!backend->imported)
		all.node = read_node(&device->function);
	for (i = 0; i < NR_BARS; i++)
		all.bars[i] = device->regions[i].bus;
	if (backend->claimed)
		err = flat_wc_bars(device, &all.wc_bars);
	if (!err)
		*info = all;
	return err;
}

int flatiommu_device_get_info(struct flatiommu_device *device, struct flatiommu_device_info *info)
{
	return CALL_DEVICE(device, get_info(device, info));
}

int flatiommu_device_fd(const struct flatiommu_device *device)
{
	if (!device)
		return -EINVAL;
	return is_ours(device->flat) ? device->fd : -ECHILD;
}
