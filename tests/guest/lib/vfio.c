// SPDX-License-Identifier: MIT
#include "vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "sysfs.h"

#define MAP_TRIES 5

static int result(int ret)
{
	return ret < 0 ? -errno : ret;
}

int vfio_container(void)
{
	return result(open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
}

int vfio_group(const char *bdf)
{
	int number = pci_group(bdf);
	char path[32];

	if (number < 0)
		return number;
	snprintf(path, sizeof(path), "/dev/vfio/%d", number);
	return result(open(path, O_RDWR | O_CLOEXEC));
}

int vfio_set_iommu(int container)
{
	return result(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
}

int vfio_set_container(int group, int container)
{
	return result(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
}

int vfio_unset_container(int group)
{
	return result(ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
}

static int region(const struct vfio_dev *v, unsigned int index, struct vfio_region_info *info)
{
	*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = index };
	return result(ioctl(v->fd, VFIO_DEVICE_GET_REGION_INFO, info));
}

int vfio_open_to_all(const char *bdf)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%d", pci_group(bdf));
	return chmod(path, 0666) || chmod("/dev/vfio/vfio", 0666) ? -errno : 0;
}

int vfio_open_device(struct vfio_dev *v)
{
	v->fd = result(ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, v->bdf));
	return v->fd < 0 ? v->fd : vfio_use_device(v);
}

int vfio_map_bar(const struct vfio_dev *v, unsigned int index, void **bar, size_t *size)
{
	struct vfio_region_info info;
	int ret = region(v, index, &info);

	if (ret)
		return ret;
	*bar = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
		    (off_t)info.offset);
	*size = info.size;
	if (*bar != MAP_FAILED)
		return 0;
	*bar = NULL;
	return -errno;
}

int vfio_use_device(struct vfio_dev *v)
{
	struct vfio_region_info info;
	int ret = region(v, VFIO_PCI_CONFIG_REGION_INDEX, &info);

	if (ret)
		return ret;
	v->config = info.offset;
	ret = region(v, VFIO_PCI_BAR0_REGION_INDEX, &info);
	if (ret || !info.size)
		return ret;
	return vfio_map_bar(v, VFIO_PCI_BAR0_REGION_INDEX, &v->bar0, &v->bar0_size);
}

int vfio_open(struct vfio_dev *v, int container, const char *bdf)
{
	int ret;

	*v = (struct vfio_dev)VFIO_DEV_INIT;
	v->bdf = bdf;
	v->group = vfio_group(bdf);
	if (v->group < 0)
		return v->group;
	ret = vfio_set_container(v->group, container);
	if (!ret && ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1)
		ret = -EOPNOTSUPP;
	if (!ret)
		ret = vfio_set_iommu(container);
	/* Another group has set it. */
	if (ret == -EINVAL)
		ret = 0;
	if (!ret)
		ret = vfio_open_device(v);
	if (ret)
		vfio_close(v);
	return ret;
}

int vfio_open_alone(struct vfio_dev *v, int *container, const char *bdf)
{
	int ret;

	*container = vfio_container();
	if (*container < 0)
		return *container;
	ret = vfio_open(v, *container, bdf);
	return ret ? ret : vfio_set_bus_master(v, true);
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vfio_close(struct vfio_dev *v)
{
	if (v->bar0)
		munmap(v->bar0, v->bar0_size);
	v->bar0 = NULL;
	close_fd(&v->fd);
	close_fd(&v->group);
}

static int map(int container, const void *addr, uint64_t iova, size_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.vaddr = (uintptr_t)addr,
		.iova = iova,
		.size = size,
	};

	return result(ioctl(container, VFIO_IOMMU_MAP_DMA, &arg));
}

int vfio_map(int container, const void *addr, uint64_t iova, size_t size)
{
	return map(container, addr, iova, size, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
}

int vfio_map_read(int container, const void *addr, uint64_t iova, size_t size)
{
	return map(container, addr, iova, size, VFIO_DMA_MAP_FLAG_READ);
}

int vfio_map_at_bus(int container, const void *addr, size_t size, uint64_t *bus)
{
	int ret = -EADDRNOTAVAIL, tries;

	for (tries = 0; ret == -EADDRNOTAVAIL && tries < MAP_TRIES; tries++) {
		*bus = bus_address(addr);
		ret = vfio_map(container, addr, *bus, size);
		/* A refusal of the right address is a refusal. */
		if (ret == -EADDRNOTAVAIL && bus_address(addr) == *bus)
			break;
	}
	return ret;
}

static int unmap(int container, uint64_t iova, size_t size, uint32_t flags, uint64_t *done)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.iova = iova,
		.size = size,
	};
	int ret = result(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &arg));

	*done = ret ? 0 : arg.size;
	return ret;
}

int vfio_unmap_some(int container, uint64_t iova, size_t size, uint64_t *done)
{
	return unmap(container, iova, size, 0, done);
}

int vfio_unmap(int container, uint64_t iova, size_t size)
{
	uint64_t done;
	int ret = unmap(container, iova, size, 0, &done);

	return ret ? ret : done == size ? 0 : -EIO;
}

int vfio_unmap_all(int container, uint64_t *done)
{
	return unmap(container, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL, done);
}

int vfio_last_iova(int container, uint64_t *last)
{
	union {
		struct vfio_iommu_type1_info info;
		char space[4096];
	} u = { .info.argsz = sizeof(u) };
	struct vfio_iommu_type1_info_cap_iova_range *ranges;
	struct vfio_info_cap_header *header;
	uint32_t at;
	int ret = result(ioctl(container, VFIO_IOMMU_GET_INFO, &u.info));

	if (ret)
		return ret;
	if (u.info.argsz > sizeof(u) || !(u.info.flags & VFIO_IOMMU_INFO_CAPS))
		return -ENOENT;
	for (at = u.info.cap_offset; at; at = header->next) {
		header = (void *)(u.space + at);
		if (header->id != VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			continue;
		ranges = (void *)header;
		*last = ranges->iova_ranges[ranges->nr_iovas - 1].end;
		return 0;
	}
	return -ENOENT;
}

int vfio_config_read(const struct vfio_dev *v, unsigned int reg, void *value, size_t size)
{
	ssize_t done = pread(v->fd, value, size, (off_t)(v->config + reg));

	return done < 0 ? -errno : (size_t)done == size ? 0 : -EIO;
}

int vfio_config_write(const struct vfio_dev *v, unsigned int reg, const void *value, size_t size)
{
	ssize_t done = pwrite(v->fd, value, size, (off_t)(v->config + reg));

	return done < 0 ? -errno : (size_t)done == size ? 0 : -EIO;
}

int vfio_set_bus_master(const struct vfio_dev *v, bool on)
{
	uint16_t command;
	int ret = vfio_config_read(v, PCI_COMMAND, &command, sizeof(command));

	if (ret)
		return ret;
	command = on ? command | PCI_COMMAND_MASTER : command & ~PCI_COMMAND_MASTER;
	return vfio_config_write(v, PCI_COMMAND, &command, sizeof(command));
}

int vfio_bus_master(const struct vfio_dev *v)
{
	uint16_t command;
	int ret = vfio_config_read(v, PCI_COMMAND, &command, sizeof(command));

	return ret ? ret : !!(command & PCI_COMMAND_MASTER);
}

int vfio_reset(const struct vfio_dev *v)
{
	return result(ioctl(v->fd, VFIO_DEVICE_RESET));
}

int vfio_irq_count(const struct vfio_dev *v, unsigned int index)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };
	int ret = result(ioctl(v->fd, VFIO_DEVICE_GET_IRQ_INFO, &info));

	return ret ? ret : (int)info.count;
}

static int set_irqs(const struct vfio_dev *v, unsigned int index, uint32_t flags,
		    const int *eventfds, unsigned int count)
{
	union {
		struct vfio_irq_set set;
		char space[sizeof(struct vfio_irq_set) + VFIO_MAX_FDS * sizeof(int)];
	} u = {
		.set = {
			.argsz = sizeof(u.set),
			.flags = flags,
			.index = index,
			.count = count,
		},
	};

	if (eventfds) {
		if (count > VFIO_MAX_FDS)
			return -E2BIG;
		memcpy(u.set.data, eventfds, count * sizeof(int));
		u.set.argsz += count * sizeof(int);
	}
	return result(ioctl(v->fd, VFIO_DEVICE_SET_IRQS, &u.set));
}

int vfio_irq_enable(const struct vfio_dev *v, unsigned int index, const int *eventfds,
		    unsigned int count)
{
	return set_irqs(v, index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, eventfds,
			count);
}

int vfio_irq_disable(const struct vfio_dev *v, unsigned int index)
{
	return set_irqs(v, index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, NULL, 0);
}

int vfio_irq_mask(const struct vfio_dev *v, unsigned int index, uint32_t action)
{
	return set_irqs(v, index, VFIO_IRQ_SET_DATA_NONE | action, NULL, 1);
}

int event_new(void)
{
	return result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

uint64_t event_take(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ? count : 0;
}

uint64_t event_wait(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	return poll(&wait, 1, 30000) == 1 ? event_take(fd) : 0;
}
