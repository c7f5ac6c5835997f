// SPDX-License-Identifier: MIT
/* Monitors. A monitor is a netlink socket, on which the kernel reports events of PCI functions. */
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

/* The group of the kernel's own events. udev sends its versions of them to another group. */
#define KERNEL_EVENTS 1

/* More than the kernel's longest event, which has 2048 bytes and a name. */
#define ROOM 8192

static int open_monitor(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_EVENTS };
	int fd, err;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (fd < 0)
		return -errno;
	if (!bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int flatiommu_monitor_open(void)
{
	return CALL_ALONE(open_monitor());
}

/* Returns the value of @key, such as "ACTION=", or "". A uevent ends with an empty string. */
static const char *value_of(const char *text, const char *key)
{
	size_t length = strlen(key);

	for (; *text; text += strlen(text) + 1)
		if (!strncmp(text, key, length))
			return text + length;
	return "";
}

static uint32_t kind_of(const char *action)
{
	static const char *const actions[] = {
		[FLATIOMMU_MONITOR_ADDED] = "add",
		[FLATIOMMU_MONITOR_REMOVED] = "remove",
		[FLATIOMMU_MONITOR_BOUND] = "bind",
		[FLATIOMMU_MONITOR_UNBOUND] = "unbind",
	};
	uint32_t kind;

	for (kind = FLATIOMMU_MONITOR_ADDED; kind < ARRAY_SIZE(actions); kind++)
		if (!strcmp(action, actions[kind]))
			return kind;
	return 0;
}

/* Is it about a function, and has it happened? Events that a person triggers have SYNTH_UUID. */
static bool parse(const char *text, struct flatiommu_monitor_event *event)
{
	struct flatiommu_monitor_event new = { .kind = kind_of(value_of(text, "ACTION=")) };
	const char *name = strrchr(value_of(text, "DEVPATH="), '/');
	unsigned int vendor, device;
	struct sysfs_function f;

	if (strcmp(value_of(text, "SUBSYSTEM="), "pci") || !new.kind || !name ||
	    parse_bdf(name + 1, &f) || value_of(text, "SYNTH_UUID=")[0])
		return false;
	strcpy(new.name, f.bdf);
	if (new.kind == FLATIOMMU_MONITOR_BOUND)
		snprintf(new.driver, sizeof(new.driver), "%s", value_of(text, "DRIVER="));
	new.class_code = (uint32_t)strtoul(value_of(text, "PCI_CLASS="), NULL, 16);
	if (sscanf(value_of(text, "PCI_ID="), "%4x:%4x", &vendor, &device) == 2) {
		new.vendor = (uint16_t)vendor;
		new.device = (uint16_t)device;
	}
	*event = new;
	return true;
}

static int read_monitor(int monitor, struct flatiommu_monitor_event *event)
{
	struct sockaddr_nl from;
	char text[ROOM];
	socklen_t size;
	ssize_t n;

	if (!event)
		return -EINVAL;
	for (;;) {
		size = sizeof(from);
		memset(&from, 0, sizeof(from));
		n = recvfrom(monitor, text, sizeof(text) - 2, MSG_DONTWAIT,
			     (struct sockaddr *)&from, &size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ENOBUFS ? -EOVERFLOW : -errno;
		if (from.nl_family != AF_NETLINK)
			return -ENOTSOCK;
		/* Skip events that another process has sent, not the kernel. */
		if (from.nl_pid)
			continue;
		text[n] = text[n + 1] = 0;
		if (parse(text, event))
			return 0;
	}
}

int flatiommu_monitor_read(int monitor, struct flatiommu_monitor_event *event)
{
	return CALL_ALONE(read_monitor(monitor, event));
}
