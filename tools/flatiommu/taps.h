/* SPDX-License-Identifier: MIT */
/* What takes frames from a network interface that may have no address: sockets, XDP, PPPoE. */
#ifndef TAPS_H
#define TAPS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct tap - a packet socket that is bound to an interface
 * @protocol:	the EtherType that it receives, or ETH_P_ALL
 * @inode:	of the socket
 * @pid:	a process that has it open, or 0 if none is visible
 * @name:	of the process
 */
struct tap {
	unsigned int protocol;
	unsigned long inode;
	int pid;
	char name[64];
};

struct taps {
	struct tap *tap;
	size_t n;
};

/*
 * Finds the packet sockets of an interface, by its index, for taps_free(). Leaves out those that
 * only configure the interface: of DHCP and LLDP, and of 802.1X.
 */
void taps_read(struct taps *taps, unsigned int interface);
void taps_free(struct taps *taps);

/*
 * Returns how a program is attached, XDP_ATTACHED_NONE if there is none. AF_XDP sockets need a
 * program.
 */
unsigned int xdp_mode(unsigned int interface);

/* Does the interface carry a PPPoE session? */
bool has_pppoe(const char *interface);

/* Finds a process with the session, and writes its name. Returns its ID, or 0 if none shows it. */
int pppoe_owner(char *name, size_t size, const char *interface);

#endif
