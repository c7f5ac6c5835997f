/* SPDX-License-Identifier: MIT */
/* What takes frames from a network interface that may have no address: captures, XDP, PPPoE. */
#ifndef TAPS_H
#define TAPS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct capture - a socket that receives all frames of an interface
 * @pid:	a process that has it open, or 0 if none is visible
 * @name:	of the process
 */
struct capture {
	int pid;
	char name[64];
};

struct captures {
	struct capture *capture;
	size_t n;
};

/* Finds the captures of an interface, by its index, each process once, for captures_free(). */
void captures_read(struct captures *captures, unsigned int interface);
void captures_free(struct captures *captures);

/* Has the interface an XDP program? AF_XDP sockets need one. */
bool has_xdp(unsigned int interface);

/* Does the interface carry a PPPoE session? */
bool has_pppoe(const char *interface);

#endif
