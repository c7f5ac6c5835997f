// SPDX-License-Identifier: MIT
#include "taps.h"

#include <ctype.h>
#include <limits.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_pppox.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netlink.h"
#include "sysfs.h"
#include "tool.h"

/* A card has these without being used. Its addresses and routes are found by themselves. */
static bool only_configures(unsigned int protocol)
{
	static const unsigned int protocols[] = {
		0, ETH_P_IP, ETH_P_IPV6, ETH_P_ARP, ETH_P_LLDP, ETH_P_PAE, ETH_P_PREAUTH,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocol == protocols[i])
			return true;
	return false;
}

/* These receive all frames, and a filter leaves them those of DHCP and LLDP. */
static bool only_filters(const char *name)
{
	static const char *const names[] = { "dhclient", "dhcpcd", "udhcpc", "lldpd" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static void add(struct taps *taps, unsigned int protocol, unsigned long inode)
{
	struct tap *grown = reallocarray(taps->tap, taps->n + 1, sizeof(*grown));

	if (!grown)
		return;
	taps->tap = grown;
	grown[taps->n++] = (struct tap){ .protocol = protocol, .inode = inode };
}

static void find_sockets(struct taps *taps, unsigned int interface)
{
	char *text = file_text("/proc/net/packet"), *line, *rest;
	unsigned int protocol, index;
	unsigned long inode;

	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest))
		/* sk RefCnt Type Proto Iface R Rmem User Inode; Iface 0 is any */
		if (sscanf(line, "%*s %*d %*d %x %u %*d %*u %*u %lu", &protocol, &index, &inode) ==
		    3 && interface && index == interface && !only_configures(protocol))
			add(taps, protocol, inode);
	free(text);
}

/**
 * struct open_socket - a socket that a process has open
 * @pid:	the process
 * @fd:		its number there
 * @inode:	of the socket
 */
struct open_socket {
	int pid, fd;
	unsigned long inode;
};

/*
 * Calls @take for the sockets in @directory, the fd directory of a thread, until it returns true.
 * Returns false if there are no files.
 */
static bool each_socket_in(const char *directory, struct open_socket *open, bool *stop,
			   bool (*take)(void *arg, const struct open_socket *open), void *arg)
{
	char path[128], target[64];
	struct names fds;
	bool has_files;
	ssize_t len;
	size_t i;

	names_read(&fds, "%s", directory);
	for (i = 0; i < fds.n && !*stop; i++) {
		snprintf(path, sizeof(path), "%s/%.20s", directory, fds.name[i]);
		len = readlink(path, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = 0;
		open->fd = atoi(fds.name[i]);
		if (sscanf(target, "socket:[%lu]", &open->inode) == 1)
			*stop = take(arg, open);
	}
	has_files = fds.n;
	names_free(&fds);
	return has_files;
}

/* Calls @take for the sockets of all processes, until it returns true. */
static void each_socket(bool (*take)(void *arg, const struct open_socket *open), void *arg)
{
	struct names processes, threads;
	struct open_socket open;
	char directory[96];
	bool stop = false;
	size_t i, j;

	names_read(&processes, "/proc");
	for (i = 0; i < processes.n && !stop; i++) {
		if (!isdigit((unsigned char)processes.name[i][0]))
			continue;
		open.pid = atoi(processes.name[i]);
		/* other threads still have files if the first one has ended */
		names_read(&threads, "/proc/%s/task", processes.name[i]);
		for (j = 0; j < threads.n; j++) {
			snprintf(directory, sizeof(directory), "/proc/%.20s/task/%.20s/fd",
				 processes.name[i], threads.name[j]);
			if (each_socket_in(directory, &open, &stop, take, arg))
				break;
		}
		names_free(&threads);
	}
	names_free(&processes);
}

/* Adds the process to its taps. Returns true if each has one. */
static bool add_owner(void *arg, const struct open_socket *open)
{
	struct taps *taps = arg;
	bool all = true;
	size_t i;

	for (i = 0; i < taps->n; i++) {
		struct tap *tap = &taps->tap[i];

		if (tap->inode == open->inode && !tap->pid) {
			tap->pid = open->pid;
			read_name(tap->name, sizeof(tap->name), open->pid);
		}
		all &= tap->pid != 0;
	}
	return all;
}

void taps_read(struct taps *taps, unsigned int interface)
{
	size_t i, n = 0;

	memset(taps, 0, sizeof(*taps));
	find_sockets(taps, interface);
	if (taps->n)
		each_socket(add_owner, taps);
	for (i = 0; i < taps->n; i++)
		if (!only_filters(taps->tap[i].name))
			taps->tap[n++] = taps->tap[i];
	taps->n = n;
}

void taps_free(struct taps *taps)
{
	free(taps->tap);
	memset(taps, 0, sizeof(*taps));
}

static unsigned int mode_of(struct rtattr *xdp)
{
	int left = RTA_PAYLOAD(xdp);
	struct rtattr *a;

	for (a = RTA_DATA(xdp); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == IFLA_XDP_ATTACHED)
			return *(unsigned char *)RTA_DATA(a);
	return XDP_ATTACHED_NONE;
}

static void find_mode(void *arg, struct nlmsghdr *message)
{
	struct rtattr *a = IFLA_RTA(NLMSG_DATA(message));
	unsigned int *mode = arg;
	int left = IFLA_PAYLOAD(message);

	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if ((a->rta_type & NLA_TYPE_MASK) == IFLA_XDP)
			*mode = mode_of(a);
}

unsigned int xdp_mode(unsigned int interface)
{
	struct ifinfomsg question = { .ifi_index = (int)interface };
	unsigned int mode = XDP_ATTACHED_NONE;

	if (interface)
		netlink_ask(RTM_GETLINK, 0, &question, sizeof(question), find_mode, &mode);
	return mode;
}

bool has_pppoe(const char *interface)
{
	/* Id, the other end's address, and the interface */
	return file_has_word(interface, "/proc/net/pppoe");
}

struct session {
	const char *interface;
	int pid;
};

/* The kernel does not list the sockets of sessions, so this looks at a copy of each socket. */
static bool is_session(void *arg, const struct open_socket *open)
{
	struct sockaddr_pppox address = { 0 };
	socklen_t size = sizeof(address);
	struct session *session = arg;
	struct stat own, its;
	int process = (int)syscall(SYS_pidfd_open, open->pid, 0), copy, namespace = -1;

	copy = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, open->fd, 0);
	if (copy >= 0 && !getsockname(copy, (struct sockaddr *)&address, &size) &&
	    address.sa_family == AF_PPPOX && address.sa_protocol == PX_PROTO_OE &&
	    !strncmp(address.sa_addr.pppoe.dev, session->interface, IFNAMSIZ))
		namespace = ioctl(copy, SIOCGSKNS);
	/* the interface of another namespace may have the same name */
	if (namespace >= 0 && !fstat(namespace, &its) && !stat("/proc/self/ns/net", &own) &&
	    its.st_ino == own.st_ino)
		session->pid = open->pid;
	if (namespace >= 0)
		close(namespace);
	if (copy >= 0)
		close(copy);
	if (process >= 0)
		close(process);
	return session->pid;
}

int pppoe_owner(char *name, size_t size, const char *interface)
{
	struct session session = { .interface = interface };

	each_socket(is_session, &session);
	if (session.pid)
		read_name(name, size, session.pid);
	return session.pid;
}
