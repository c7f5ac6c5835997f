// SPDX-License-Identifier: MIT
/* The life of a device. */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define TOKEN " vf_token="

/* Checks what sysfs says before VFIO is called, because VFIO's errors are terse. */
static int look_at(struct flatiommu_device *device)
{
	struct function *f = &device->function;
	int err = read_function(f);

	if (err == -ENODEV)
		return fail(device->flat, err, "%s: no such PCI function (lspci -D lists them)", f->bdf);
	if (err)
		return fail(device->flat, err, "%s: cannot be looked at in /sys/bus/pci/devices: %s", f->bdf,
			    ERRNO(err));
	if (!strncmp(f->driver, "vfio", strlen("vfio")) || f->cdev[0])
		return 0;
	return fail(device->flat, -ENXIO, "%s: %s%s, not to vfio-pci. Cure: flatiommu bind %s", f->bdf,
		    f->driver[0] ? "bound to " : "bound to no driver", f->driver, f->bdf);
}

/* Reads the properties of a device, whose file is open. */
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

/* If the function is gone, all bits read as set, except maybe the one that VFIO emulates. */
static bool is_gone(uint16_t command)
{
	return (command | PCI_COMMAND_INTX_DISABLE) == UINT16_MAX;
}

/*
 * Enables memory and port decoding, which VFIO leaves unchanged, and disables bus mastering until
 * the program asks for it.
 */
static int begin_command(struct flatiommu_device *device)
{
	uint16_t command;
	int err = access_region(device, FLATIOMMU_REGION_CONFIG, PCI_COMMAND, &command,
				sizeof(command), false);

	if (err)
		return err;
	if (is_gone(command))
		return fail(device->flat, -EIO, "%s: does not answer (removed, asleep, or its link is down)",
			    device->name);
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_IO;
	command &= (uint16_t)~PCI_COMMAND_MASTER;
	return access_region(device, FLATIOMMU_REGION_CONFIG, PCI_COMMAND, &command, sizeof(command),
			     true);
}

/* Makes a space of @ranges without the IOVAs that buffers have. Pinned buffers have none. */
static int take_iovas(const struct flatiommu *flat, struct iova_space *space, struct iova_range *ranges,
		      size_t count)
{
	const struct buffer *buffer;
	int err = iova_allow(space, ranges, count);

	if (err) {
		free(ranges);
		return err;
	}
	for (buffer = flat->buffers; buffer && !err; buffer = buffer->next)
		err = buffer->iova ? iova_take(space, buffer->iova, buffer->span) : 0;
	return err;
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
	err = take_iovas(flat, &new, ranges, (size_t)count);
	/* On an error the old space stays. */
	iova_end(err ? &new : &flat->iovas);
	if (!err) {
		flat->iovas = new;
		flat->iovas_changed++;
	}
	pthread_mutex_unlock(&flat->lock);
	return err ? fail(flat, err, "no memory for the ranges of IOVAs") : 0;
}

/* Frees a device that is not in the list and not attached any more. */
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

static struct flatiommu_device *new_device(struct flatiommu *flat, const char *name)
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

static void list_device(struct flatiommu_device *device)
{
	struct flatiommu *flat = device->flat;

	pthread_mutex_lock(&flat->lock);
	device->next = flat->devices;
	flat->devices = device;
	flat->devices_changed++;
	pthread_mutex_unlock(&flat->lock);
}

/* Both locks are held: so a thread with open_lock can read the list. */
static void unlink_device(struct flatiommu_device *device)
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
	if (flat->backend->stop)
		flat->backend->stop(flat);
	close_fd(&flat->flat);
	pthread_mutex_lock(&flat->lock);
	fault_end(flat);
	iova_end(&flat->iovas);
	flat->backend = NULL;
	flat->backend_reason[0] = 0;
	pthread_mutex_unlock(&flat->lock);
}

/* Detaches a device whose file is closed. open_lock is held. */
static void detach_device(struct flatiommu_device *device)
{
	struct flatiommu *flat = device->flat;

	flat->backend->detach(device);
	if (!--flat->attached)
		end_backend(flat);
}

void end_device(struct flatiommu_device *device)
{
	struct flatiommu *flat = device->flat;

	/* The kernel stops and resets it. */
	close_fd(&device->fd);
	pthread_mutex_lock(&flat->open_lock);
	detach_device(device);
	pthread_mutex_unlock(&flat->open_lock);
	pthread_mutex_destroy(&device->lock);
	forget_device(device);
}

/* Returns a stopped device that the buffers do not need, or NULL. flat->lock is held. */
static struct flatiommu_device *find_unneeded(const struct flatiommu *flat)
{
	struct flatiommu_device *device, *stopped = NULL;
	bool open = false;

	for (device = flat->devices; device; device = device->next) {
		if (device->stopped)
			stopped = device;
		else
			open = true;
	}
	return open || !flat->buffers ? stopped : NULL;
}

static struct flatiommu_device *unlink_unneeded(struct flatiommu *flat)
{
	struct flatiommu_device *device;

	pthread_mutex_lock(&flat->open_lock);
	pthread_mutex_lock(&flat->lock);
	device = find_unneeded(flat);
	if (device)
		unlink_device(device);
	pthread_mutex_unlock(&flat->lock);
	pthread_mutex_unlock(&flat->open_lock);
	return device;
}

void drop_stopped_devices(struct flatiommu *flat)
{
	struct flatiommu_device *device;

	/* First without open_lock: freeing a buffer must not wait for a device that is opened. */
	pthread_mutex_lock(&flat->lock);
	device = find_unneeded(flat);
	pthread_mutex_unlock(&flat->lock);
	if (!device)
		return;
	device = unlink_unneeded(flat);
	if (device)
		end_device(device);
}

/*
 * Returns the context's device for this function, or NULL. *@was_open: the program has it open.
 * Otherwise it was kept for the buffers, and is now not stopped any more.
 */
static struct flatiommu_device *take_known(struct flatiommu *flat, const struct function *f,
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

/* Opens a kept device again. Ends FLATIOMMU_IRQ_REQUEST, which was enabled before the close. */
static int open_again(struct flatiommu_device *device)
{
	int err;

	pthread_mutex_lock(&device->lock);
	disable_irqs(device, true);
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

	list_device(device);
	err = join_pins(device);
	if (!err)
		return 0;
	pthread_mutex_lock(&flat->lock);
	unlink_device(device);
	pthread_mutex_unlock(&flat->lock);
	return err;
}

static int open_locked(struct flatiommu *flat, const struct function *f, const char *token,
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
	if (flat->backend == &imported)
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
	struct function f;
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
		     const struct flatiommu_device_options *options, struct flatiommu_device **device)
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

/*
 * Without bus mastering a function begins no transaction, and its writes have arrived. Its reads
 * may still be pending (PCIe 7.5.3.5, Transactions Pending), for less than a second.
 */
static void wait_for_transactions(struct flatiommu_device *device)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	unsigned int cap, i;
	uint16_t status;

	if (find_capability(device, PCI_CAP_ID_EXP, &cap))
		return;
	for (i = 0; i < 1000; i++) {
		if (access_region(device, FLATIOMMU_REGION_CONFIG, cap + PCI_EXP_DEVSTA, &status,
				  sizeof(status), false) || !(status & PCI_EXP_DEVSTA_TRPND))
			return;
		nanosleep(&pause, NULL);
	}
}

int stop_device(struct flatiommu_device *device)
{
	bool is_imported = device->flat->backend == &imported;
	int err = 0;

	pthread_mutex_lock(&device->lock);
	unmap_views(device);
	disable_irqs(device, is_imported);
	/* Another process may use an imported device: the kernel stops it at the last close. */
	if (!is_imported)
		err = set_bus_master(device, false);
	pthread_mutex_unlock(&device->lock);
	if (!err && !is_imported)
		wait_for_transactions(device);
	return err;
}

/*
 * Do buffers need this device? Without any device the kernel would unpin them, and their bus
 * addresses would change. flat->lock is held.
 */
static bool is_needed(const struct flatiommu_device *device)
{
	const struct flatiommu *flat = device->flat;

	return flat->devices == device && !device->next && flat->buffers;
}

static bool may_be_kept(const struct flatiommu_device *device)
{
	bool needed;

	pthread_mutex_lock(&device->flat->lock);
	needed = is_needed(device);
	pthread_mutex_unlock(&device->flat->lock);
	return needed;
}

/*
 * Returns whether the device is kept. If so, the caller must not use it any more: another thread
 * may free the last buffer, and with it the device.
 */
static bool unlink_or_keep(struct flatiommu_device *device)
{
	struct flatiommu *flat = device->flat;
	bool kept;

	pthread_mutex_lock(&flat->open_lock);
	pthread_mutex_lock(&flat->lock);
	kept = is_needed(device);
	if (kept)
		device->stopped = true;
	else
		unlink_device(device);
	pthread_mutex_unlock(&flat->lock);
	pthread_mutex_unlock(&flat->open_lock);
	return kept;
}

/*
 * A device that is kept is reset now. A function that is gone is not: the kernel would wait for it
 * here, and again at the close.
 */
static int close_device(struct flatiommu_device *device)
{
	unsigned int peers = count_peer_buffers(device);
	int err;

	if (peers)
		return fail(device->flat, -EBUSY, "%s: %u buffers of its BARs are left, which other "
			    "devices may be using. Cure: flatiommu_dma_free() of them", device->name,
			    peers);
	err = stop_device(device);

	if (!err && device->flags & VFIO_DEVICE_FLAGS_RESET && may_be_kept(device))
		call(device->fd, VFIO_DEVICE_RESET, NULL);
	if (unlink_or_keep(device))
		return 1;
	end_device(device);
	return 0;
}

int flatiommu_device_close(struct flatiommu_device *device)
{
	return device ? CALL_DEVICE(device, close_device(device)) : 0;
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
	if (backend != &imported)
		all.node = read_node(&device->function);
	for (i = 0; i < NR_BARS; i++)
		all.bars[i] = device->regions[i].bus;
	if (backend == &flatiommu_type1 || backend == &flatiommu_iommufd)
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

int set_bus_master(struct flatiommu_device *device, bool on)
{
	uint16_t command;
	int err = access_region(device, FLATIOMMU_REGION_CONFIG, PCI_COMMAND, &command,
				sizeof(command), false);

	if (err)
		return err;
	if (is_gone(command))
		return fail(device->flat, -ENODEV, "%s: does not answer (removed, or its link is down)",
			    device->name);
	if (on)
		command |= PCI_COMMAND_MASTER;
	else
		command &= (uint16_t)~PCI_COMMAND_MASTER;
	return access_region(device, FLATIOMMU_REGION_CONFIG, PCI_COMMAND, &command, sizeof(command),
			     true);
}

bool is_bus_master(struct flatiommu_device *device)
{
	uint16_t command;

	return !access_region(device, FLATIOMMU_REGION_CONFIG, PCI_COMMAND, &command, sizeof(command),
			      false) && !is_gone(command) && command & PCI_COMMAND_MASTER;
}

/* A program can use it as an emergency stop: it waits only for calls that change this device. */
static int bus_master(struct flatiommu_device *device, bool on)
{
	int err;

	pthread_mutex_lock(&device->lock);
	err = set_bus_master(device, on);
	pthread_mutex_unlock(&device->lock);
	return err;
}

int flatiommu_bus_master(struct flatiommu_device *device, bool on)
{
	return CALL_DEVICE(device, bus_master(device, on));
}

static void forget_imported(struct flatiommu_device *device)
{
	(void)device;
}

/* The devices are attached in another process. */
const struct backend imported = {
	.name = "imported",
	.detach = forget_imported,
};

static int import_locked(struct flatiommu_device *new)
{
	struct flatiommu *flat = new->flat;
	int err;

	if (flat->backend && flat->backend != &imported)
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
		return fail(flat, -ENAMETOOLONG, "%s: a name of a device has up to %zu characters", name,
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
