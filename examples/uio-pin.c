// SPDX-License-Identifier: MIT
/*
 * uio-pin BDF: a driver of QEMU's edu on uio_pci_generic. /dev/flatiommu pins its memory and
 * returns the bus addresses, instead of mlock() and pagemap. The rest of the driver is unchanged.
 *
 * The promise is weaker than VFIO's. When the process dies, the kernel clears the function's bus
 * mastering and waits for its transactions before it frees the memory, but does not reset the
 * function. The function keeps its commands, and goes on with them once bus mastering is set. So
 * the next program has to reset it first.
 */
#include <fcntl.h>
#include <flatiommu/mmio.h>
#include <linux/flatiommu.h>
#include <linux/pci_regs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE 2048
#define DEVICE_MEMORY 0x40000

static int open_file(const char *bdf, const char *name, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, name);
	return open(path, flags | O_CLOEXEC);
}

static int change_command(int config, uint16_t set, uint16_t clear)
{
	uint16_t command;

	if (pread(config, &command, sizeof(command), PCI_COMMAND) != sizeof(command))
		return -1;
	command = (uint16_t)((command | set) & ~clear);
	return pwrite(config, &command, sizeof(command), PCI_COMMAND) == sizeof(command) ? 0 : -1;
}

/*
 * docs/specs/edu.txt of QEMU: bit 0 of the command is set until the copy is done. All ones: the
 * device is gone.
 */
static int settle(char *regs)
{
	uint64_t command;

	while ((command = flatiommu_read64(regs + 0x98)) & 1 && command != UINT64_MAX)
		usleep(1000);
	return command == UINT64_MAX ? -1 : 0;
}

/*
 * Ends what an earlier program has started, before the function may reach memory again. A function
 * may have no reset of its own. Then only its own registers can stop it: edu ends by itself.
 */
static int start_anew(const char *bdf, int config, char *regs)
{
	int reset;

	if (change_command(config, PCI_COMMAND_MEMORY, PCI_COMMAND_MASTER))
		return -1;
	reset = open_file(bdf, "reset", O_WRONLY);
	if (reset >= 0 && write(reset, "1", 1) != 1)
		return -1;
	return settle(regs) ? -1 : change_command(config, PCI_COMMAND_MASTER, 0);
}

static int copy(char *regs, uint64_t from, uint64_t to, uint64_t command)
{
	flatiommu_write64(regs + 0x80, from);
	flatiommu_write64(regs + 0x88, to);
	flatiommu_write64(regs + 0x90, SIZE);
	flatiommu_write64(regs + 0x98, command | 1);
	return settle(regs);
}

int main(int argc, char **argv)
{
	struct flatiommu_function function = { 0 };
	struct flatiommu_segment segment;
	struct flatiommu_pin pin = { .size = sizeof(pin), .nr_functions = 1,
		.functions = (uintptr_t)&function, .length = 2 * SIZE };
	struct flatiommu_lookup lookup = { .size = sizeof(lookup), .flags = FLATIOMMU_LOOKUP_PIN,
		.nr_segments = 1, .length = 2 * SIZE, .segments = (uintptr_t)&segment };
	unsigned int bus, slot, fn;
	int flat = open("/dev/flatiommu", O_RDWR | O_CLOEXEC), registers, config;
	char *regs, *memory;

	if (argc != 2 || sscanf(argv[1], "%x:%x:%x.%x", &function.segment, &bus, &slot, &fn) != 4)
		return 2;
	function.bus = (uint8_t)bus;
	function.devfn = (uint8_t)(slot << 3 | fn);
	registers = open_file(argv[1], "resource0", O_RDWR);
	config = open_file(argv[1], "config", O_RDWR);
	regs = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, registers, 0);
	memory = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Pinned for as long as flat is open; was: mlock(), and /proc/self/pagemap */
	pin.vaddr = (uintptr_t)memory;
	lookup.function = function;
	if (regs == MAP_FAILED || memory == MAP_FAILED || ioctl(flat, FLATIOMMU_PIN, &pin) ||
	    (lookup.pin = pin.out_pin, ioctl(flat, FLATIOMMU_LOOKUP, &lookup)) ||
	    start_anew(argv[1], config, regs)) {
		perror("uio-pin");
		return 1;
	}
	memset(memory, 0xa5, SIZE);
	if (copy(regs, segment.address, DEVICE_MEMORY, 0) ||
	    copy(regs, DEVICE_MEMORY, segment.address + SIZE, 2)) {
		fputs("uio-pin: the device is gone\n", stderr);
		return 1;
	}
	printf("copied %s\n", memcmp(memory, memory + SIZE, SIZE) ? "wrongly" : "there and back");
	return memcmp(memory, memory + SIZE, SIZE) != 0;
}
