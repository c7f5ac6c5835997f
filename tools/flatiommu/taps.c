// SPDX-License-Identifier: MIT
#include "taps.h"

#include <ctype.h>
#include <limits.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sysfs.h"

/* Returns a process that has the socket open, or 0. */
static int find_owner(unsigned long inode)
{
	char path[64], target[PATH_MAX], socket[64];
	struct names processes, fds;
	size_t i, j;
	ssize_t len;
	int pid = 0;

	snprintf(socket, sizeof(socket), "socket:[%lu]", inode);
	names_read(&processes, "/proc");
	for (i = 0; i < processes.n && !pid; i++) {
		if (!isdigit((unsigned char)processes.name[i][0]))
			continue;
		names_read(&fds, "/proc/%s/fd", processes.name[i]);
		for (j = 0; j < fds.n && !pid; j++) {
			snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", processes.name[i],
				 fds.name[j]);
			len = readlink(path, target, sizeof(target) - 1);
			if (len < 0)
				continue;
			target[len] = 0;
			if (!strcmp(target, socket))
				pid = atoi(processes.name[i]);
		}
		names_free(&fds);
	}
	names_free(&processes);
	return pid;
}

static void add_owner(struct captures *captures, int pid)
{
	struct capture *grown;
	size_t i;

	for (i = 0; i < captures->n; i++)
		if (captures->capture[i].pid == pid)
			return;
	grown = reallocarray(captures->capture, captures->n + 1, sizeof(*grown));
	if (!grown)
		return;
	captures->capture = grown;
	grown += captures->n++;
	grown->pid = pid;
	grown->name[0] = 0;
	if (pid)
		read_name(grown->name, sizeof(grown->name), pid);
}

void captures_read(struct captures *captures, unsigned int interface)
{
	char *text = file_text("/proc/net/packet"), *line, *rest;
	unsigned int protocol, index;
	unsigned long inode;

	memset(captures, 0, sizeof(*captures));
	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest))
		/* sk RefCnt Type Proto Iface R Rmem User Inode */
		if (sscanf(line, "%*s %*d %*d %x %u %*d %*u %*u %lu", &protocol, &index, &inode) == 3 &&
		    protocol == ETH_P_ALL && index == interface)
			add_owner(captures, find_owner(inode));
	free(text);
}

void captures_free(struct captures *captures)
{
	free(captures->capture);
	memset(captures, 0, sizeof(*captures));
}

static bool is_attached(struct rtattr *xdp)
{
	int left = RTA_PAYLOAD(xdp);
	struct rtattr *a;

	for (a = RTA_DATA(xdp); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == IFLA_XDP_ATTACHED)
			return *(unsigned char *)RTA_DATA(a) != XDP_ATTACHED_NONE;
	return false;
}

bool has_xdp(unsigned int interface)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} request = {
		.header = {
			.nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_GETLINK,
			.nlmsg_flags = NLM_F_REQUEST,
		},
		.link = { .ifi_index = interface },
	};
	char answer[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), n = -1, left;
	struct nlmsghdr *message = (void *)answer;
	struct rtattr *a;
	bool has = false;

	if (fd < 0)
		return false;
	if (send(fd, &request, sizeof(request), 0) >= 0)
		n = recv(fd, answer, sizeof(answer), 0);
	close(fd);
	if (n < 0 || !NLMSG_OK(message, (unsigned int)n) || message->nlmsg_type != RTM_NEWLINK)
		return false;
	a = IFLA_RTA(NLMSG_DATA(message));
	left = IFLA_PAYLOAD(message);
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if ((a->rta_type & NLA_TYPE_MASK) == IFLA_XDP)
			has = is_attached(a);
	return has;
}

bool has_pppoe(const char *interface)
{
	/* Id, the other end's address, and the interface */
	return file_has_word(interface, "/proc/net/pppoe");
}
