/* SPDX-License-Identifier: MIT */
/* Events: changes that the kernel reports, and signals that end this program. */
#ifndef EVENTS_H
#define EVENTS_H

#include <stdbool.h>

#include "address.h"
#include "tool.h"

/**
 * struct event - a change of a PCI function
 * @kind:	kind of change
 * @address:	the function
 * @driver:	with EVENT_BOUND, the driver
 */
struct event {
	enum {
		EVENT_ADDED, EVENT_GONE, EVENT_BOUND, EVENT_UNBOUND, EVENT_CLAIMED, EVENT_RELEASED
	} kind;
	char address[PCI_ADDRESS_SIZE];
	char driver[64];
};

/**
 * struct events - sources of events: file descriptors, or -1
 * @signals:	SIGINT and SIGTERM
 * @uevents:	netlink; a container may not have it
 * @opens:	inotify of the nodes that programs open; it does not open the nodes
 */
struct events {
	int signals, uevents, opens;
};

int events_open(struct tool *tool, struct events *events);
void events_close(struct events *events);

/* Watches the nodes in /dev. Call it again when nodes may have appeared. */
void events_watch_nodes(struct events *events);

enum events_wait {
	EVENTS_END,	/* a signal, or standard output is closed */
	EVENTS_OPENED,	/* a node was opened, or closed */
	EVENTS_OTHER,	/* maybe there is an event, or the time is over */
};

enum events_wait events_wait(struct events *events, int milliseconds);

/* Gets the next event. Returns false if there is none. */
bool events_next(struct events *events, struct event *event);

#endif
