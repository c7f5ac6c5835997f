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

/*
 * Looks for the sockets in @directory, the fd directory of a thread, and adds their number to
 * @found. Returns false if there are no files.
 */
static bool find_open(struct taps *taps, int pid, const char *directory, size_t *found)
{
	char path[128], target[64];
	unsigned long inode;
	struct names fds;
	bool has_files;
	size_t i, j;
	ssize_t len;

	names_read(&fds, "%s", directory);
	for (i = 0; i < fds.n; i++) {
		snprintf(path, sizeof(path), "%s/%.20s", directory, fds.name[i]);
		len = readlink(path, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = 0;
		if (sscanf(target, "socket:[%lu]", &inode) != 1)
			continue;
		for (j = 0; j < taps->n; j++) {
			if (taps->tap[j].inode != inode || taps->tap[j].pid)
				continue;
			taps->tap[j].pid = pid;
			read_name(taps->tap[j].name, sizeof(taps->tap[j].name), pid);
			(*found)++;
		}
	}
	has_files = fds.n;
	names_free(&fds);
	return has_files;
}

static void find_owners(struct taps *taps)
{
	struct names processes, threads;
	char directory[96];
	size_t i, j, found = 0;

	names_read(&processes, "/proc");
	for (i = 0; i < processes.n && found < taps->n; i++) {
		if (!isdigit((unsigned char)processes.name[i][0]))
			continue;
		/* other threads still have files if the first one has ended */
		names_read(&threads, "/proc/%s/task", processes.name[i]);
		for (j = 0; j < threads.n; j++) {
			snprintf(directory, sizeof(directory), "/proc/%.20s/task/%.20s/fd",
				 processes.name[i], threads.name[j]);
			if (find_open(taps, atoi(processes.name[i]), directory, &found))
				break;
		}
		names_free(&threads);
	}
	names_free(&processes);
}

void taps_read(struct taps *taps, unsigned int interface)
{
	size_t i, n = 0;

	memset(taps, 0, sizeof(*taps));
	find_sockets(taps, interface);
	if (taps->n)
		find_owners(taps);
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
