/* SPDX-License-Identifier: MIT */
/* Definitions that the broker and its workers share. */
#ifndef EXAMPLE_BROKER_H
#define EXAMPLE_BROKER_H

#include <stdint.h>
#include <sys/socket.h>

#define COPY_SIZE	1024

/* A worker gets these file descriptors in one message on its stdin, and no more of the device. */
enum { FD_DEVICE, FD_MEMORY, FD_TABLE, FD_EVENT, NR_FDS };

union fds_message {
	struct cmsghdr header;
	char space[CMSG_SPACE(NR_FDS * sizeof(int))];
};

/* The contents of the buffer. They outlive a worker. */
struct shared {
	char from[COPY_SIZE];
	char to[COPY_SIZE];
	uint32_t done;		/* copies, of all workers */
	uint32_t wanted;
};

/* Runs a worker. Returns its exit status. */
int work(void);

#endif
