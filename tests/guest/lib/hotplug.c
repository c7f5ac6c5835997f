// SPDX-License-Identifier: MIT
#include "hotplug.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices.h"
#include "sysfs.h"
#include "test.h"

int hot_unplug(void)
{
	return system("qmp '{\"execute\": \"device_del\", \"arguments\": {\"id\": \"hotdev\"}}'"
		      " >/dev/null") ? -EIO : 0;
}

bool hot_plug(void *arg)
{
	(void)arg;
	return !system("qmp '{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"nvme\","
		       " \"id\": \"hotdev\", \"bus\": \"hot1\", \"serial\": \"flat4\","
		       " \"drive\": \"nvme4\", \"max_ioqpairs\": 7, \"msix_qsize\": 8}}'"
		       " >/dev/null 2>&1");
}

bool hot_is_there(void *arg)
{
	(void)arg;
	return pci_is_there(HOT_DEV);
}

bool hot_is_gone(void *arg)
{
	return !hot_is_there(arg);
}

static bool edu_is_there(void *arg)
{
	(void)arg;
	return pci_is_there(EMPTY_DEV);
}

int edu_plug(void)
{
	static unsigned int count;
	char command[256];

	/* QEMU does not give the name of what has vanished to another. */
	snprintf(command, sizeof(command), "qmp '{\"execute\": \"device_add\", \"arguments\": {\"driver\":"
		 " \"edu\", \"id\": \"vanishing-%d-%u\", \"bus\": \"hot0\", \"dma_mask\":"
		 " 18446744073709551615}}' >/dev/null", (int)getpid(), count++);
	if (system(command))
		return -EIO;
	return wait_until(edu_is_there, NULL) ? 0 : -ETIMEDOUT;
}

/* Slot Control (PCIe 7.5.3.10): power and its indicator off. QEMU takes the device away then. */
int edu_vanish(void)
{
	return system("setpci -s " EMPTY_PORT " CAP_EXP+18.w=0700:0700") ? -EIO : 0;
}

/* The kernel's driver of the port did not see it go. It is told to turn the slot off. */
int edu_forget(void)
{
	return system("for slot in /sys/bus/pci/slots/*; do [ $(cat $slot/address) != " EMPTY_SLOT " ] ||"
		      " exec sh -c \"echo 0 >$slot/power\"; done; exit 1") ? -ENOENT : 0;
}
