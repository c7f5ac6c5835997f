// SPDX-License-Identifier: MIT
/* The command register of a device: its memory and ports, and its DMA. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <time.h>

#include "internal.h"

/* If the function is gone, all bits read as set, except maybe the one that VFIO emulates. */
static bool is_gone(uint16_t command)
{
	return (command | PCI_COMMAND_INTX_DISABLE) == UINT16_MAX;
}

static int read_command(struct flatiommu_device *device, uint16_t *command)
{
	return access_region(device, FLATIOMMU_REGION_CONFIG, PCI_COMMAND, command,
			     sizeof(*command), false);
}

static int write_command(struct flatiommu_device *device, uint16_t command)
{
	return access_region(device, FLATIOMMU_REGION_CONFIG, PCI_COMMAND, &command,
			     sizeof(command), true);
}

int begin_command(struct flatiommu_device *device)
{
	uint16_t command;
	int err = read_command(device, &command);

	if (err)
		return err;
	if (is_gone(command))
		return fail(device->flat, -EIO, "%s: does not answer (removed, asleep, or its link is down)",
			    device->name);
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_IO;
	command &= (uint16_t)~PCI_COMMAND_MASTER;
	err = write_command(device, command);
	return err ? err : set_intx(device, false);
}

/*
 * VFIO allows INTx at an open and again after MSI. A driver that polls would then leave the line
 * asserted. Other devices may share it, and the kernel disables a line that nobody serves.
 */
int set_intx(struct flatiommu_device *device, bool on)
{
	uint16_t command;
	int err = read_command(device, &command);

	if (err || is_gone(command))
		return err;
	/* VFIO writes the device's register only if this bit changes. */
	err = write_command(device, command & (uint16_t)~PCI_COMMAND_INTX_DISABLE);
	if (!err && !on)
		err = write_command(device, command | PCI_COMMAND_INTX_DISABLE);
	return err;
}

void wait_for_transactions(struct flatiommu_device *device)
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

int set_bus_master(struct flatiommu_device *device, bool on)
{
	uint16_t command;
	int err = read_command(device, &command);

	if (err)
		return err;
	if (is_gone(command))
		return fail(device->flat, -ENODEV, "%s: does not answer (removed, or its link is down)",
			    device->name);
	if (on)
		command |= PCI_COMMAND_MASTER;
	else
		command &= (uint16_t)~PCI_COMMAND_MASTER;
	return write_command(device, command);
}

bool is_bus_master(struct flatiommu_device *device)
{
	uint16_t command;

	return !read_command(device, &command) && !is_gone(command) &&
	       command & PCI_COMMAND_MASTER;
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
