// SPDX-License-Identifier: MIT
#include "events.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_signals(void)
{
	static const int ends[] = { SIGINT, SIGTERM };
	struct sigaction action;
	sigset_t signals;
	size_t i;

	sigemptyset(&signals);
	for (i = 0; i < ARRAY_SIZE(ends); i++)
		/* the terminal must not end a command that runs in the background */
		if (!sigaction(ends[i], NULL, &action) && action.sa_handler != SIG_IGN)
			sigaddset(&signals, ends[i]);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static int open_uevents(void)
{
	/* group 1: the kernel's events, not udev's */
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd = socket(AF_NETLINK, type, NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

int events_open(struct tool *tool, struct events *events)
{
	events->signals = open_signals();
	if (events->signals < 0)
		return tool_fail(tool, -errno, "signals: %s", strerror(errno));
	events->uevents = open_uevents();
	events->opens = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	return 0;
}

void events_close(struct events *events)
{
	close(events->signals);
	if (events->uevents >= 0)
		close(events->uevents);
	if (events->opens >= 0)
		close(events->opens);
}

/* A second watch of a directory changes nothing. VFIO's directories are new when it is loaded. */
void events_watch_nodes(struct events *events)
{
	static const char *const nodes[] = {
		"/dev/vfio", "/dev/vfio/devices", "/dev/iommu", "/dev/flatiommu",
	};
	size_t i;

	for (i = 0; events->opens >= 0 && i < ARRAY_SIZE(nodes); i++)
		inotify_add_watch(events->opens, nodes[i], IN_OPEN | IN_CLOSE);
}

enum events_wait events_wait(struct events *events, int milliseconds)
{
	struct pollfd fds[] = {
		{ .fd = events->signals, .events = POLLIN },
		/* poll() always reports errors, such as that no process reads the pipe */
		{ .fd = STDOUT_FILENO },
		{ .fd = events->uevents, .events = POLLIN },
		{ .fd = events->opens, .events = POLLIN },
	};
	char text[4096];

	if (poll(fds, ARRAY_SIZE(fds), milliseconds) <= 0)
		return EVENTS_OTHER;
	if (fds[0].revents || fds[1].revents)
		return EVENTS_END;
	if (!fds[3].revents)
		return EVENTS_OTHER;
	while (read(events->opens, text, sizeof(text)) > 0)
		;
	return EVENTS_OPENED;
}

/* Returns the value of KEY= in a uevent, which ends with an empty string, or "". */
static const char *value_of(const char *text, const char *key)
{
	size_t length = strlen(key);

	for (; *text; text += strlen(text) + 1)
		if (!strncmp(text, key, length))
			return text + length;
	return "";
}

static bool parse(struct event *event, const char *text)
{
	static const struct {
		const char *subsystem, *action;
		int kind;
	} kinds[] = {
		{ "pci", "add", EVENT_ADDED }, { "pci", "remove", EVENT_GONE },
		{ "pci", "bind", EVENT_BOUND }, { "pci", "unbind", EVENT_UNBOUND },
		{ "iommu", "add", EVENT_CLAIMED }, { "iommu", "remove", EVENT_RELEASED },
	};
	const char *subsystem = value_of(text, "SUBSYSTEM="), *action = value_of(text, "ACTION=");
	const char *name = strrchr(value_of(text, "DEVPATH="), '/');
	size_t i;

	for (i = 0; name && i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(subsystem, kinds[i].subsystem) || strcmp(action, kinds[i].action))
			continue;
		name++;
		if (!strcmp(subsystem, "iommu")) {
			if (strncmp(name, "flatiommu-", strlen("flatiommu-")))
				return false;
			name += strlen("flatiommu-");
		}
		event->kind = kinds[i].kind;
		snprintf(event->driver, sizeof(event->driver), "%s", value_of(text, "DRIVER="));
		return address_parse(event->address, sizeof(event->address), name);
	}
	return false;
}

bool events_next(struct events *events, struct event *event)
{
	struct sockaddr_nl from;
	char text[8192];
	socklen_t size;
	ssize_t n;

	if (events->uevents < 0)
		return false;
	for (;;) {
		size = sizeof(from);
		n = recvfrom(events->uevents, text, sizeof(text) - 2, 0, (struct sockaddr *)&from,
			     &size);
		/* ENOBUFS: some events were lost, others follow */
		if (n < 0 && errno != ENOBUFS)
			return false;
		/* ignore messages that are not from the kernel */
		if (n <= 0 || from.nl_pid)
			continue;
		text[n] = text[n + 1] = 0;
		if (parse(event, text))
			return true;
	}
}
