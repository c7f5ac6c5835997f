// SPDX-License-Identifier: MIT
#include "filters.h"

#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>

#include "netlink.h"
#include "tool.h"

static void find_filter(void *arg, struct nlmsghdr *message)
{
	*(bool *)arg |= message->nlmsg_type == RTM_NEWTFILTER;
}

bool has_filters(unsigned int interface)
{
	static const unsigned int ways[] = { TC_H_MIN_INGRESS, TC_H_MIN_EGRESS };
	struct tcmsg question = { .tcm_ifindex = (int)interface };
	bool has = false;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ways) && interface; i++) {
		question.tcm_parent = TC_H_MAKE(TC_H_CLSACT, ways[i]);
		netlink_ask(RTM_GETTFILTER, NLM_F_DUMP, &question, sizeof(question), find_filter,
			    &has);
	}
	return has;
}

/* Returns the attribute of this type in another one, or NULL. */
static struct rtattr *find_in(struct rtattr *whole, unsigned short type)
{
	int left = RTA_PAYLOAD(whole);
	struct rtattr *a;

	for (a = RTA_DATA(whole); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return a;
	return NULL;
}

struct target {
	unsigned int interface;
	bool found;
};

static bool is_to(struct rtattr *action, unsigned int interface)
{
	struct rtattr *options = find_in(action, TCA_ACT_OPTIONS);
	struct rtattr *mirred = options ? find_in(options, TCA_MIRRED_PARMS) : NULL;

	return mirred && RTA_PAYLOAD(mirred) >= sizeof(struct tc_mirred) &&
	       ((struct tc_mirred *)RTA_DATA(mirred))->ifindex == interface;
}

static void find_redirect(void *arg, struct nlmsghdr *message)
{
	struct rtattr *table = (void *)((char *)NLMSG_DATA(message) + sizeof(struct tcamsg)), *a;
	int left = (int)(message->nlmsg_len - NLMSG_LENGTH(sizeof(struct tcamsg))), inner;
	struct target *target = arg;

	for (; RTA_OK(table, left); table = RTA_NEXT(table, left)) {
		if ((table->rta_type & NLA_TYPE_MASK) != TCA_ACT_TAB)
			continue;
		inner = RTA_PAYLOAD(table);
		for (a = RTA_DATA(table); RTA_OK(a, inner); a = RTA_NEXT(a, inner))
			target->found |= is_to(a, target->interface);
	}
}

bool is_redirected_to(unsigned int interface)
{
	static const struct {
		struct tcamsg head;
		struct rtattr table, first, kind;
		char mirred[8];
	} question = {
		.table = { sizeof(struct rtattr) * 3 + 8, TCA_ACT_TAB },
		.first = { sizeof(struct rtattr) * 2 + 8, 1 },
		.kind = { sizeof(struct rtattr) + sizeof("mirred"), TCA_ACT_KIND },
		.mirred = "mirred",
	};
	struct target target = { .interface = interface };

	if (interface)
		netlink_ask(RTM_GETACTION, NLM_F_DUMP, &question, sizeof(question), find_redirect,
			    &target);
	return target.found;
}
