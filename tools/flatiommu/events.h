/* SPDX-License-Identifier: MIT */
/* Changes that the kernel reports, and signals that end this program. */
#ifndef EVENTS_H
#define EVENTS_H

#include <stdbool.h>

#include "address.h"
#include "tool.h"

/**
 * struct event - of a PCI function
 * @kind:	what happened
 * @address:	of the function
 * @driver:	that was bound
 */
struct event {
	enum { EVENT_ADDED, EVENT_GONE, EVENT_BOUND, EVENT_UNBOUND, EVENT_CLAIMED, EVENT_RELEASED } kind;
	char address[PCI_ADDRESS_SIZE];
	char driver[64];
};

/**
 * struct events - where they come from, file descriptors or -1
 * @signals:	SIGINT and SIGTERM
 * @uevents:	netlink; a container may not have it
 * @opens:	inotify of the nodes that programs open: it holds none of them
 */
struct events {
	int signals, uevents, opens;
};

int events_open(struct tool *tool, struct events *events);
void events_close(struct events *events);

/* The nodes to watch may have appeared only now. */
void events_watch_nodes(struct events *events);

enum events_wait {
	EVENTS_END,	/* a signal, or nobody reads standard output any more */
	EVENTS_OPENED,	/* a node was opened, or closed */
	EVENTS_OTHER,	/* maybe there is an event, or the time is over */
};

enum events_wait events_wait(struct events *events, int milliseconds);

/* Returns whether there was one more. */
bool events_next(struct events *events, struct event *event);

#endif
