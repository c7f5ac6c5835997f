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

/* Everything that can be known before VFIO is asked, because its errors are terse. */
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
	return fail(device->flat, -ENODEV, "%s: %s%s, not to vfio-pci. Cure: flatiommu bind %s", f->bdf,
		    f->driver[0] ? "bound to " : "bound to no driver", f->driver, f->bdf);
}

/* What is to be known of a device that has its file. */
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

/* Memory and ports on: the kernel gives them with both as they were. DMA is for the program to ask for. */
static int begin_command(struct flatiommu_device *device)
{
	uint16_t command;
	int err = access_region(device, FLATIOMMU_REGION_CONFIG, PCI_COMMAND, &command,
				sizeof(command), false);

	if (err)
		return err;
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_IO;
	command &= (uint16_t)~PCI_COMMAND_MASTER;
	return access_region(device, FLATIOMMU_REGION_CONFIG, PCI_COMMAND, &command, sizeof(command),
			     true);
}

/* The IOVAs that all devices take. There may be fewer with each device. */
static int update_iovas(struct flatiommu *flat)
{
	struct iova_space new = { 0 };
	struct iova_range *ranges;
	const struct buffer *buffer;
	int count, err;

	if (!flat->backend->iovas)
		return 0;
	count = flat->backend->iovas(flat, &ranges);
	if (count < 0)
		return count;
	err = iova_allow(&new, ranges, (size_t)count);
	if (err)
		free(ranges);
	for (buffer = flat->buffers; buffer && !err; buffer = buffer->next)
		err = buffer->pin ? 0 : iova_take(&new, buffer->iova, buffer->span);
	/* The old ones hold until all of the new ones are known. */
	iova_end(err ? &new : &flat->iovas);
	if (err)
		return fail(flat, err, "no memory for the ranges of IOVAs");
	flat->iovas = new;
	return 0;
}

/* With everything of it but the attachment; unlinked. */
void forget_device(struct flatiommu_device *device)
{
	free_regions(device);
	free(device);
}

static struct flatiommu_device **link_of(struct flatiommu_device *device)
{
	struct flatiommu_device **link;

	for (link = &device->flat->devices; *link != device; link = &(*link)->next)
		;
	return link;
}

/* Nothing is left that holds the context to its backend. */
static void end_backend(struct flatiommu *flat)
{
	if (flat->backend->stop)
		flat->backend->stop(flat);
	close_fd(&flat->flat);
	iova_end(&flat->iovas);
	flat->backend = NULL;
	flat->backend_reason[0] = 0;
}

void drop_stopped_devices(struct flatiommu *flat, const struct flatiommu_device *but)
{
	struct flatiommu_device **link = &flat->devices;

	while (*link) {
		struct flatiommu_device *device = *link;

		if (!device->stopped || device == but) {
			link = &device->next;
			continue;
		}
		*link = device->next;
		flat->backend->detach(device);
		forget_device(device);
	}
	if (!flat->devices)
		end_backend(flat);
}

/* The one that is open, or was closed and kept for the buffers' sake. NULL: there is none. */
static struct flatiommu_device *known_device(struct flatiommu *flat, const struct function *f)
{
	struct flatiommu_device *device;

	for (device = flat->devices; device; device = device->next)
		if (!strcmp(device->function.bdf, f->bdf))
			return device;
	return NULL;
}

static int open_locked(struct flatiommu *flat, const struct function *f, const char *token,
		       struct flatiommu_device **device)
{
	struct flatiommu_device *new = known_device(flat, f);
	int err;

	if (new && !new->stopped)
		return fail(flat, -EBUSY, "%s: it is open in this context", f->bdf);
	if (new) {
		err = begin_command(new);
		if (!err) {
			new->stopped = false;
			*device = new;
		}
		return err;
	}
	if (flat->backend == &imported)
		return fail(flat, -EXDEV, "%s: cannot be opened beside imported devices. Cure: open it in "
			    "a context of its own", f->bdf);
	new = calloc(1, sizeof(*new));
	if (!new)
		return fail(flat, -ENOMEM, "%s: no memory for it", f->bdf);
	new->flat = flat;
	new->fd = -1;
	new->function = *f;
	strcpy(new->name, f->bdf);
	err = look_at(new);
	if (!err)
		err = read_token(new, token);
	if (!err)
		err = choose_backend(new);
	if (err) {
		free(new);
		return err;
	}
	err = use_device(new);
	if (!err)
		err = begin_command(new);
	if (!err)
		err = update_iovas(flat);
	if (err) {
		flat->backend->detach(new);
		forget_device(new);
		if (!flat->devices)
			end_backend(flat);
		return err;
	}
	new->next = flat->devices;
	flat->devices = new;
	drop_stopped_devices(flat, new);
	*device = new;
	return 0;
}

int flatiommu_device_open(struct flatiommu *flat, const char *bdf, struct flatiommu_device **device)
{
	const char *token;
	char address[32];
	struct function f;
	size_t length;
	int err;

	if (!flat)
		return -EINVAL;
	if (!bdf || !device)
		return fail(flat, -EINVAL, "flatiommu_device_open: NULL is no %s", bdf ? "device" : "address");
	/* As VFIO has it: "0000:01:00.1 vf_token=UUID". */
	token = strstr(bdf, TOKEN);
	length = token ? (size_t)(token - bdf) : strlen(bdf);
	if (length < sizeof(address))
		memcpy(address, bdf, length);
	address[length < sizeof(address) ? length : 0] = 0;
	if (parse_bdf(address, &f))
		return fail(flat, -EINVAL, "%s: not a PCI address such as 0000:01:00.0 (lspci -D lists "
			    "them)", bdf);
	pthread_mutex_lock(&flat->lock);
	err = open_locked(flat, &f, token ? token + strlen(TOKEN) : NULL, device);
	pthread_mutex_unlock(&flat->lock);
	return err;
}

static bool is_last(const struct flatiommu_device *device)
{
	return device->flat->devices == device && !device->next;
}

/*
 * Without bus mastering a function begins nothing new, and its writes have arrived. What it has asked to
 * read may still be under way (PCIe 7.5.3.5, Transactions Pending); a second is more than it can take.
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

void stop_device(struct flatiommu_device *device)
{
	unmap_views(device);
	disable_irqs(device);
	/* Another process may go on with what was imported: the kernel stops it after the last one. */
	if (device->flat->backend == &imported)
		return;
	if (!set_bus_master(device, false))
		wait_for_transactions(device);
}

void flatiommu_device_close(struct flatiommu_device *device)
{
	struct flatiommu *flat;

	if (!device)
		return;
	flat = device->flat;
	pthread_mutex_lock(&flat->lock);
	stop_device(device);
	if (is_last(device) && flat->buffers) {
		/* Without a device the kernel would let the memory go, and it would have other addresses. */
		if (device->flags & VFIO_DEVICE_FLAGS_RESET)
			call(device->fd, VFIO_DEVICE_RESET, NULL);
		device->stopped = true;
	} else {
		*link_of(device) = device->next;
		flat->backend->detach(device);
		forget_device(device);
		if (!flat->devices)
			end_backend(flat);
	}
	pthread_mutex_unlock(&flat->lock);
}

const char *flatiommu_device_name(const struct flatiommu_device *device)
{
	return device ? device->name : "";
}

int flatiommu_device_get_info(struct flatiommu_device *device, struct flatiommu_device_info *info,
			      size_t size)
{
	const struct backend *backend = device ? device->flat->backend : NULL;
	struct flatiommu_device_info all = { .node = -1 };
	int err = 0;

	if (!device)
		return -EINVAL;
	if (!info || !size)
		return fail(device->flat, -EINVAL, "%s: NULL is no information", device->name);
	all.group = device->function.group;
	if (device->flags & VFIO_DEVICE_FLAGS_RESET)
		all.flags |= FLATIOMMU_DEVICE_CAN_RESET;
	if (backend != &imported)
		all.node = read_node(&device->function);
	if (backend == &flatiommu_type1 || backend == &flatiommu_iommufd)
		err = flat_wc_bars(device, &all.wc_bars);
	if (err)
		return err;
	memset(info, 0, size);
	memcpy(info, &all, size < sizeof(all) ? size : sizeof(all));
	return 0;
}

int flatiommu_device_fd(const struct flatiommu_device *device)
{
	return device ? device->fd : -EINVAL;
}

/* A function that is no more answers with all bits set, but for the one that VFIO keeps itself. */
static bool is_gone(uint16_t command)
{
	return (command | PCI_COMMAND_INTX_DISABLE) == UINT16_MAX;
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

int flatiommu_bus_master(struct flatiommu_device *device, bool on)
{
	int err;

	if (!device)
		return -EINVAL;
	pthread_mutex_lock(&device->flat->lock);
	err = set_bus_master(device, on);
	pthread_mutex_unlock(&device->flat->lock);
	return err;
}

static void close_imported(struct flatiommu_device *device)
{
	close_fd(&device->fd);
}

/* Another process has what stands behind its devices. */
const struct backend imported = {
	.name = "imported",
	.detach = close_imported,
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
	/* As those that are opened here: a program that is executed is not to have it. */
	if (fcntl(new->fd, F_SETFD, FD_CLOEXEC))
		return fail(flat, -errno, "%s: close-on-exec: %s", new->name, ERRNO(-errno));
	if (!flat->backend) {
		flat->backend = &imported;
		snprintf(flat->backend_reason, sizeof(flat->backend_reason),
			 "imported: another process opened %s", new->name);
	}
	new->next = flat->devices;
	flat->devices = new;
	return 0;
}

int flatiommu_device_import(struct flatiommu *flat, int fd, const char *name,
			    struct flatiommu_device **device)
{
	struct flatiommu_device *new;
	int err;

	if (!flat)
		return -EINVAL;
	if (!name || !device)
		return fail(flat, -EINVAL, "flatiommu_device_import: NULL is no %s", name ? "device" : "name");
	if (strlen(name) >= sizeof(new->name))
		return fail(flat, -ENAMETOOLONG, "%s: a name of a device has up to %zu characters", name,
			    sizeof(new->name) - 1);
	new = calloc(1, sizeof(*new));
	if (!new)
		return fail(flat, -ENOMEM, "%s: no memory for it", name);
	new->flat = flat;
	new->fd = fd;
	new->function.group = -1;
	strcpy(new->name, name);
	pthread_mutex_lock(&flat->lock);
	err = import_locked(new);
	pthread_mutex_unlock(&flat->lock);
	if (err)
		forget_device(new);
	else
		*device = new;
	return err;
}
