// SPDX-License-Identifier: MIT
/*
 * Container, group, device, config space, BAR0 and MSI-X of one PCI function (linux/vfio.h).
 */
#define _GNU_SOURCE 1
#include "vfio.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flat.h"
#include "log.h"

#define UNSAFE_INTERRUPTS "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"

/* sysfs wants domain:bus:device.function in lower case; people leave the domain out. */
static int parse_bdf(const char *text, char *bdf, size_t size)
{
	unsigned int domain = 0, bus, dev, fn;
	int end = 0;

	if (sscanf(text, "%x:%x:%x.%x%n", &domain, &bus, &dev, &fn, &end) != 4) {
		domain = 0;
		if (sscanf(text, "%x:%x.%x%n", &bus, &dev, &fn, &end) != 3)
			goto bad;
	}
	if (text[end] || bus > 0xff || dev > 0x1f || fn > 7)
		goto bad;
	snprintf(bdf, size, "%04x:%02x:%02x.%x", domain, bus, dev, fn);
	return 0;
bad:
	log_error("%s: not a PCI address such as 0000:01:00.0 (lspci -D lists them)", text);
	return -EINVAL;
}

/* The last part of what a sysfs link of the function points to. */
static int sysfs_link(const char *bdf, const char *name, char *text, size_t size)
{
	char path[128], target[512];
	const char *base;
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, name);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = 0;
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	if (strlen(base) >= size)
		return -ENAMETOOLONG;
	memcpy(text, base, strlen(base) + 1);
	return 0;
}

static int read_line(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	int err = 0;

	if (!file)
		return -errno;
	if (fgets(text, (int)size, file))
		text[strcspn(text, "\n")] = 0;
	else
		err = -EIO;
	fclose(file);
	return err;
}

static int group_name(const struct vfio_dev *v, char *text, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/name", v->group_id);
	return read_line(path, text, size);
}

void vfio_backend(const struct vfio_dev *v, char *text, size_t size)
{
	char iommu[64];

	if (v->flat >= 0)
		snprintf(text, size, "vfio_iommu_type1 on flatiommu: bus addresses, no isolation");
	else if (!sysfs_link(v->bdf, "iommu", iommu, sizeof(iommu)))
		snprintf(text, size, "vfio_iommu_type1 on IOMMU %s", iommu);
	else
		snprintf(text, size, "vfio_iommu_type1");
}

/* Everything that can be known from sysfs before VFIO is asked, because its errors are terse. */
static int find_group(struct vfio_dev *v)
{
	char driver[64] = "no driver", group[32], path[64];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", v->bdf);
	if (access(path, F_OK)) {
		log_error("%s: no such PCI function (lspci -D lists them)", v->bdf);
		return -ENODEV;
	}
	sysfs_link(v->bdf, "driver", driver, sizeof(driver));
	if (strcmp(driver, "vfio-pci")) {
		log_error("%s: bound to %s, not to vfio-pci. Cure: driverctl set-override %s "
			  "vfio-pci (if that fails with -22, the machine has no IOMMU: load flatiommu "
			  "first)", v->bdf, driver, v->bdf);
		return -ENODEV;
	}
	if (sysfs_link(v->bdf, "iommu_group", group, sizeof(group))) {
		log_error("%s: in no IOMMU group, so VFIO cannot open it. Cure: turn the IOMMU on, "
			  "or load flatiommu and bind again", v->bdf);
		return -ENODEV;
	}
	v->group_id = atoi(group);
	if (!group_name(v, group, sizeof(group)) && !strcmp(group, "vfio-noiommu")) {
		log_error("%s: group %d is Linux's no-IOMMU mode, which maps and pins nothing. "
			  "Cure: unbind, turn enable_unsafe_noiommu_mode off, load flatiommu, bind "
			  "again", v->bdf, v->group_id);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int open_container(struct vfio_dev *v)
{
	int err;

	v->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (v->container < 0) {
		err = -errno;
		log_error("/dev/vfio/vfio: %s. Cure: %s", strerror(-err), err == -EACCES ?
			  "run as root" : "modprobe vfio_iommu_type1");
		return err;
	}
	if (ioctl(v->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
	    ioctl(v->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1) {
		log_error("/dev/vfio/vfio has no type1v2 backend. Cure: modprobe vfio_iommu_type1");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int open_group(struct vfio_dev *v)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[32];
	int err;

	snprintf(path, sizeof(path), "/dev/vfio/%d", v->group_id);
	v->group = open(path, O_RDWR | O_CLOEXEC);
	if (v->group < 0) {
		err = -errno;
		log_error("%s: %s%s", path, strerror(-err),
			  err == -EBUSY ? " (another program has the group open)" :
			  err == -EACCES || err == -EPERM ? ". Cure: run as root" : "");
		return err;
	}
	if (ioctl(v->group, VFIO_GROUP_GET_STATUS, &status)) {
		err = -errno;
		log_error("%s: VFIO_GROUP_GET_STATUS: %s", path, strerror(-err));
		return err;
	}
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		log_error("%s: other functions of the group are bound to ordinary drivers. Cure: "
			  "bind all of /sys/kernel/iommu_groups/%d/devices to vfio-pci", path,
			  v->group_id);
		return -EPERM;
	}
	return 0;
}

/* EPERM has two usual causes and the kernel tells neither to the program. */
static void explain_attach(const struct vfio_dev *v, const char *step, int err)
{
	char unsafe[8] = "unknown";

	if (err != -EPERM) {
		log_error("%s: %s: %s", v->bdf, step, strerror(-err));
		return;
	}
	read_line(UNSAFE_INTERRUPTS, unsafe, sizeof(unsafe));
	log_error("%s: %s: EPERM, for one of two reasons (the kernel log has it):", v->bdf, step);
	log_error("  - this process lacks CAP_SYS_RAWIO (it runs as uid %d). Cure: run as root",
		  (int)geteuid());
	log_error("  - interrupts are not remapped, and allow_unsafe_interrupts is %s. Cure: "
		  "echo 1 > " UNSAFE_INTERRUPTS, unsafe);
}

static int attach(struct vfio_dev *v)
{
	int err;

	/* Taking ownership of the group may already be refused here, not only in SET_IOMMU. */
	if (ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container)) {
		err = -errno;
		explain_attach(v, "VFIO_GROUP_SET_CONTAINER", err);
		return err;
	}
	if (ioctl(v->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) {
		err = -errno;
		explain_attach(v, "VFIO_SET_IOMMU", err);
		return err;
	}
	return 0;
}

static int region_info(const struct vfio_dev *v, unsigned int index, struct vfio_region_info *info)
{
	int err;

	*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = index };
	if (!ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, info))
		return 0;
	err = -errno;
	log_error("%s: VFIO_DEVICE_GET_REGION_INFO %u: %s", v->bdf, index, strerror(-err));
	return err;
}

static int open_device(struct vfio_dev *v)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct vfio_region_info region;
	int err;

	v->device = ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, v->bdf);
	if (v->device < 0) {
		err = -errno;
		log_error("%s: VFIO_GROUP_GET_DEVICE_FD: %s", v->bdf, strerror(-err));
		return err;
	}
	if (ioctl(v->device, VFIO_DEVICE_GET_INFO, &info)) {
		err = -errno;
		log_error("%s: VFIO_DEVICE_GET_INFO: %s", v->bdf, strerror(-err));
		return err;
	}
	v->flags = info.flags;

	err = region_info(v, VFIO_PCI_CONFIG_REGION_INDEX, &region);
	if (err)
		return err;
	v->config_offset = region.offset;

	err = region_info(v, VFIO_PCI_BAR0_REGION_INDEX, &region);
	if (err)
		return err;
	if (!(region.flags & VFIO_REGION_INFO_FLAG_MMAP)) {
		log_error("%s: BAR0 cannot be mapped (%llu bytes: less than a page, or not memory)",
			  v->bdf, (unsigned long long)region.size);
		return -EOPNOTSUPP;
	}
	v->bar0 = mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, v->device,
		       (off_t)region.offset);
	if (v->bar0 == MAP_FAILED) {
		err = -errno;
		v->bar0 = NULL;
		log_error("%s: mmap of BAR0: %s", v->bdf, strerror(-err));
		return err;
	}
	v->bar0_size = region.size;
	return 0;
}

/* The group's name says whether bus addresses have to be looked up. */
static int open_flat(struct vfio_dev *v)
{
	char name[64];

	if (group_name(v, name, sizeof(name)) || strcmp(name, "flatiommu"))
		return 0;
	v->flat = flat_open(v->bdf);
	return v->flat < 0 ? v->flat : 0;
}

int vfio_open(struct vfio_dev *v, const char *bdf)
{
	int err;

	*v = (struct vfio_dev){ .container = -1, .group = -1, .device = -1, .flat = -1 };
	err = parse_bdf(bdf, v->bdf, sizeof(v->bdf));
	if (!err)
		err = find_group(v);
	if (!err)
		err = open_container(v);
	if (!err)
		err = open_group(v);
	if (!err)
		err = attach(v);
	if (!err)
		err = open_device(v);
	if (!err)
		err = open_flat(v);
	if (err)
		vfio_close(v);
	return err;
}

/* Device before group before container: each holds the next one (linux/vfio.h). */
void vfio_close(struct vfio_dev *v)
{
	if (v->bar0)
		munmap(v->bar0, v->bar0_size);
	if (v->device >= 0)
		close(v->device);
	if (v->group >= 0)
		close(v->group);
	if (v->container >= 0)
		close(v->container);
	if (v->flat >= 0)
		close(v->flat);
	*v = (struct vfio_dev){ .container = -1, .group = -1, .device = -1, .flat = -1 };
}

int vfio_reset(const struct vfio_dev *v)
{
	int err;

	/* Not every function can be reset by itself; the controller reset in nvme.c does then. */
	if (!(v->flags & VFIO_DEVICE_FLAGS_RESET))
		return 0;
	if (!ioctl(v->device, VFIO_DEVICE_RESET))
		return 0;
	err = -errno;
	log_error("%s: VFIO_DEVICE_RESET: %s", v->bdf, strerror(-err));
	return err;
}

int vfio_config_read16(const struct vfio_dev *v, unsigned int reg, uint16_t *value)
{
	uint16_t raw;
	ssize_t len = pread(v->device, &raw, sizeof(raw), (off_t)(v->config_offset + reg));

	if (len != sizeof(raw)) {
		log_error("%s: read of config space at 0x%x failed", v->bdf, reg);
		return -EIO;
	}
	*value = le16toh(raw);
	return 0;
}

/* The bus master enable bit decides whether the function may do DMA and MSI-X: PCIe 7.5.1.1.3. */
int vfio_bus_master(const struct vfio_dev *v, bool on)
{
	uint16_t command, raw;
	int err;

	err = vfio_config_read16(v, PCI_COMMAND, &command);
	if (err)
		return err;
	command |= PCI_COMMAND_MEMORY;
	command &= (uint16_t)~PCI_COMMAND_MASTER;
	if (on)
		command |= PCI_COMMAND_MASTER;
	raw = htole16(command);
	if (pwrite(v->device, &raw, sizeof(raw), (off_t)(v->config_offset + PCI_COMMAND)) !=
	    sizeof(raw)) {
		log_error("%s: could not turn bus mastering %s", v->bdf, on ? "on" : "off");
		return -EIO;
	}
	return 0;
}

int vfio_irq_count(const struct vfio_dev *v, unsigned int index, unsigned int *count)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };
	int err;

	if (ioctl(v->device, VFIO_DEVICE_GET_IRQ_INFO, &info)) {
		err = -errno;
		log_error("%s: VFIO_DEVICE_GET_IRQ_INFO %u: %s", v->bdf, index, strerror(-err));
		return err;
	}
	*count = (info.flags & VFIO_IRQ_INFO_EVENTFD) ? info.count : 0;
	return 0;
}

/* All vectors in one call: before Linux 6.5 vfio-pci cannot add a vector to enabled ones. */
int vfio_msix_enable(const struct vfio_dev *v, const int *eventfds, unsigned int count)
{
	size_t size = sizeof(struct vfio_irq_set) + count * sizeof(*eventfds);
	struct vfio_irq_set *set = calloc(1, size);
	int err = 0;

	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)size;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_MSIX_IRQ_INDEX;
	set->count = count;
	memcpy(set->data, eventfds, count * sizeof(*eventfds));
	if (ioctl(v->device, VFIO_DEVICE_SET_IRQS, set)) {
		err = -errno;
		log_error("%s: VFIO_DEVICE_SET_IRQS, %u MSI-X vectors: %s. --poll works without",
			  v->bdf, count, strerror(-err));
	}
	free(set);
	return err;
}

int vfio_msix_disable(const struct vfio_dev *v)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
	};
	int err;

	if (!ioctl(v->device, VFIO_DEVICE_SET_IRQS, &set))
		return 0;
	err = -errno;
	log_error("%s: VFIO_DEVICE_SET_IRQS, MSI-X off: %s", v->bdf, strerror(-err));
	return err;
}

int vfio_dma_map(const struct vfio_dev *v, void *addr, uint64_t iova, size_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)addr,
		.iova = iova,
		.size = size,
	};

	return ioctl(v->container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

int vfio_dma_unmap(const struct vfio_dev *v, uint64_t iova, size_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};

	if (ioctl(v->container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		return -errno;
	/* type1 answers with how much it found; less means that the device kept something. */
	return unmap.size == size ? 0 : -ENOENT;
}
