// SPDX-License-Identifier: MIT
#include "netlink.h"

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Reads a part of the answer. Returns false if that was the last one. */
static bool read_part(int fd, void (*take)(void *arg, struct nlmsghdr *message), void *arg)
{
	char part[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *message = (void *)part;
	int n = (int)recv(fd, part, sizeof(part), 0);
	bool more = false;

	for (; n > 0 && NLMSG_OK(message, (unsigned int)n); message = NLMSG_NEXT(message, n)) {
		if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR)
			return false;
		take(arg, message);
		more = message->nlmsg_flags & NLM_F_MULTI;
	}
	return more;
}

void netlink_ask(unsigned short type, unsigned short flags, const void *body, size_t size,
		 void (*take)(void *arg, struct nlmsghdr *message), void *arg)
{
	struct nlmsghdr head = {
		.nlmsg_len = NLMSG_LENGTH(size),
		.nlmsg_type = type,
		.nlmsg_flags = NLM_F_REQUEST | flags,
	};
	struct iovec parts[] = { { &head, sizeof(head) }, { (void *)body, size } };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return;
	if (writev(fd, parts, 2) >= 0)
		while (read_part(fd, take, arg))
			;
	close(fd);
}
