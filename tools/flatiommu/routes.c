// SPDX-License-Identifier: MIT
#include "routes.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink.h"

struct asked {
	struct routes *routes;
	unsigned int interface;
};

static bool goes_through(struct rtattr *attribute, unsigned int interface)
{
	struct rtnexthop *hop = RTA_DATA(attribute);
	int left = RTA_PAYLOAD(attribute);

	if (attribute->rta_type == RTA_OIF)
		return *(unsigned int *)RTA_DATA(attribute) == interface;
	if (attribute->rta_type != RTA_MULTIPATH)
		return false;
	for (; RTNH_OK(hop, left); left -= RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
		if ((unsigned int)hop->rtnh_ifindex == interface)
			return true;
	return false;
}

/* Is it a route that every interface has when it is up: fe80::/10 or ff00::/8? */
static bool is_of_link(const struct rtmsg *route, const unsigned char *to)
{
	return route->rtm_family == AF_INET6 && to &&
	       ((to[0] == 0xfe && (to[1] & 0xc0) == 0x80) || to[0] == 0xff);
}

static void add(void *arg, struct nlmsghdr *message)
{
	const struct asked *asked = arg;
	struct routes *routes = asked->routes;
	struct rtmsg *route = NLMSG_DATA(message);
	struct rtattr *attribute = RTM_RTA(route);
	unsigned int table = route->rtm_table;
	int left = RTM_PAYLOAD(message);
	unsigned char *to = NULL;
	char text[INET6_ADDRSTRLEN] = "";
	bool through = false;

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		if (attribute->rta_type == RTA_DST)
			to = RTA_DATA(attribute);
		else if (attribute->rta_type == RTA_TABLE)
			table = *(unsigned int *)RTA_DATA(attribute);
		else
			through |= goes_through(attribute, asked->interface);
	}
	if (!through || route->rtm_type != RTN_UNICAST || table == RT_TABLE_LOCAL ||
	    route->rtm_flags & RTM_F_CLONED || is_of_link(route, to))
		return;
	if (!route->rtm_dst_len) {
		routes->carries_default = true;
	} else if (route->rtm_protocol != RTPROT_KERNEL && to) {
		if (!routes->n++)
			snprintf(routes->first, sizeof(routes->first), "%s/%u",
				 inet_ntop(route->rtm_family, to, text, sizeof(text)),
				 route->rtm_dst_len);
	}
}

void routes_read(struct routes *routes, unsigned int interface)
{
	struct asked asked = { .interface = interface };
	struct rtmsg question = { .rtm_family = AF_INET };

	memset(routes, 0, sizeof(*routes));
	asked.routes = routes;
	netlink_ask(RTM_GETROUTE, NLM_F_DUMP, &question, sizeof(question), add, &asked);
	question.rtm_family = AF_INET6;
	netlink_ask(RTM_GETROUTE, NLM_F_DUMP, &question, sizeof(question), add, &asked);
}
