/* SPDX-License-Identifier: MIT */
/* What the broker and its workers share. */
#ifndef EXAMPLE_BROKER_H
#define EXAMPLE_BROKER_H

#include <stdint.h>
#include <sys/socket.h>

#define COPY_SIZE	1024

/* What a worker gets, in one message on its stdin: all that it has of the device. */
enum { FD_DEVICE, FD_MEMORY, FD_TABLE, FD_EVENT, NR_FDS };

union fds_message {
	struct cmsghdr header;
	char space[CMSG_SPACE(NR_FDS * sizeof(int))];
};

/* The buffer. What a worker did lasts longer than itself. */
struct shared {
	char from[COPY_SIZE];
	char to[COPY_SIZE];
	uint32_t done;		/* copies, of all workers */
	uint32_t wanted;
};

/* The whole of a worker. Its exit status. */
int work(void);

#endif
