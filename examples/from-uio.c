// SPDX-License-Identifier: MIT
/*
 * from-uio BDF: a driver of uio_pci_generic that was moved to VFIO, without a library.
 * doc/from-uio.md has each call beside the one that it replaces. QEMU's edu (docs/specs/edu.txt)
 * copies 2 KiB into itself and out again.
 */
#include <errno.h>
#include <fcntl.h>
#include <flatiommu/mmio.h>
#include <linux/flatiommu.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE ((size_t)sysconf(_SC_PAGESIZE))	/* VFIO maps whole pages */
#define HALF 2048
#define DEVICE_MEMORY 0x40000

static int device, container, irq;
static volatile char *regs;

/* was: open("/dev/uioN") */
static int open_device(const char *bdf)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[128], link[128];
	ssize_t length;
	int group;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	length = readlink(path, link, sizeof(link) - 1);
	if (length < 0)
		return -1;
	link[length] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(link, '/'));
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	group = open(path, O_RDWR | O_CLOEXEC);
	if (ioctl(group, VFIO_GROUP_GET_STATUS, &status) || !(status.flags & VFIO_GROUP_FLAGS_VIABLE) ||
	    ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -1;
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	return device < 0 ? -1 : 0;
}

/* was: mmap() of resource0 in sysfs */
static int map_registers(void)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_BAR0_REGION_INDEX };

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info))
		return -1;
	regs = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)info.offset);
	return regs == MAP_FAILED ? -1 : 0;
}

/* was: mlock(), and /proc/self/pagemap. The program chooses an IOVA, which is only a key. */
static int map_memory(const char *bdf, char *memory, uint64_t *bus)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .size = SIZE,
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory, .iova = FLATIOMMU_LOOKUP_FIRST };
	struct flatiommu_segment segment;
	struct flatiommu_declare declare = { .size = sizeof(declare), .nr_functions = 1 };
	struct flatiommu_lookup lookup = { .size = sizeof(lookup), .nr_segments = 1,
		.start = map.iova, .length = SIZE, .segments = (uintptr_t)&segment };
	unsigned int segment_number, bus_number, slot, function;
	int flat = open("/dev/flatiommu", O_RDWR | O_CLOEXEC);

	if (sscanf(bdf, "%x:%x:%x.%x", &segment_number, &bus_number, &slot, &function) != 4)
		return -1;
	lookup.function = (struct flatiommu_function){ .segment = segment_number,
		.bus = (uint8_t)bus_number, .devfn = (uint8_t)(slot << 3 | function) };
	declare.functions = (uintptr_t)&lookup.function;
	if (ioctl(flat, FLATIOMMU_DECLARE, &declare) || ioctl(container, VFIO_IOMMU_MAP_DMA, &map) ||
	    ioctl(flat, FLATIOMMU_LOOKUP, &lookup))
		return -1;
	*bus = segment.address;
	return 0;
}

/* was: config space in sysfs */
static int set_bus_master(void)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	off_t at;
	uint16_t command;

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info))
		return -1;
	at = (off_t)info.offset + PCI_COMMAND;
	if (pread(device, &command, sizeof(command), at) != sizeof(command))
		return -1;
	command |= PCI_COMMAND_MASTER;
	return pwrite(device, &command, sizeof(command), at) == sizeof(command) ? 0 : -1;
}

/* was: read() of /dev/uioN, INTx only. MSI-X has another index, and an eventfd for each vector. */
static int enable_interrupt(void)
{
	char buffer[sizeof(struct vfio_irq_set) + sizeof(int)];
	struct vfio_irq_set *set = (struct vfio_irq_set *)buffer;

	*set = (struct vfio_irq_set){ .argsz = sizeof(buffer), .index = VFIO_PCI_MSI_IRQ_INDEX, .count = 1,
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER };
	irq = eventfd(0, EFD_CLOEXEC);
	memcpy(set->data, &irq, sizeof(irq));
	return ioctl(device, VFIO_DEVICE_SET_IRQS, set);
}

static int copy(uint64_t from, uint64_t to, uint64_t command)
{
	struct pollfd wait = { .fd = irq, .events = POLLIN };
	uint64_t count;

	/* Accesses with the order that a device needs, on every architecture. */
	flatiommu_write64(regs + 0x80, from);
	flatiommu_write64(regs + 0x88, to);
	flatiommu_write64(regs + 0x90, HALF);
	flatiommu_write64(regs + 0x98, command | 5);
	errno = ETIMEDOUT;
	if (poll(&wait, 1, 10000) != 1 || read(irq, &count, sizeof(count)) != sizeof(count))
		return -1;
	flatiommu_write32(regs + 0x64, flatiommu_read32(regs + 0x24));
	return 0;
}

int main(int argc, char **argv)
{
	char *memory = aligned_alloc(SIZE, SIZE);
	uint64_t bus;

	if (argc != 2 || !memory)
		return 2;
	memset(memory, 0xa5, HALF);
	if (open_device(argv[1]) || map_registers() || map_memory(argv[1], memory, &bus) ||
	    set_bus_master() || enable_interrupt() || copy(bus, DEVICE_MEMORY, 0) ||
	    copy(DEVICE_MEMORY, bus + HALF, 2)) {
		perror("from-uio");
		return EXIT_FAILURE;
	}
	printf("copied %s\n", memcmp(memory, memory + HALF, HALF) ? "wrongly" : "there and back");
	return memcmp(memory, memory + HALF, HALF) ? EXIT_FAILURE : EXIT_SUCCESS;
}
