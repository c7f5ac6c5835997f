/* SPDX-License-Identifier: MIT */
/* Questions to the kernel's network, by rtnetlink. */
#ifndef NETLINK_H
#define NETLINK_H

#include <linux/netlink.h>
#include <stddef.h>

/*
 * Asks a question of @type with @body after its head, and calls @take for each message of the
 * answer. @flags: NLM_F_DUMP, or 0. There are no messages if it fails.
 */
void netlink_ask(unsigned short type, unsigned short flags, const void *body, size_t size,
		 void (*take)(void *arg, struct nlmsghdr *message), void *arg);

#endif
