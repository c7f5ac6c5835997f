// SPDX-License-Identifier: MIT
/*
 * Uses of a function's network interfaces, and of all interfaces on top of them, in each network
 * namespace.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "filters.h"
#include "namespaces.h"
#include "routes.h"
#include "sysfs.h"
#include "taps.h"
#include "use.h"

#define NET "/sys/class/net"
#define NETCONSOLE "/sys/kernel/config/netconsole"

/**
 * struct view - the interfaces in one network namespace
 * @look:	the search
 * @where:	"" for our namespace, else " in the network namespace of ..."
 * @interfaces:	the function's interfaces, then those on top of them
 * @own:	number of the function's interfaces
 */
struct view {
	const struct look *look;
	char where[400];
	struct layers interfaces;
	size_t own;
};

/* @last: the end of the chain, if it is no interface, or NULL */
static void found(const struct view *view, size_t i, const char *last, struct use *use)
{
	strncat(use->text, view->where, sizeof(use->text) - strlen(use->text) - 1);
	/* a command would have to run in the other namespace */
	if (*view->where)
		use->cure[0] = 0;
	use->what = view->interfaces.layer[i].name;
	use_add(view->look, use, layers_chain(&view->interfaces, i, last));
}

static const char *name_of(const struct view *view, size_t i)
{
	return view->interfaces.layer[i].name;
}

/* Adds all interfaces on top: bonds, bridges, teams, VLANs, macvlans. */
static void add_uppers(struct view *view)
{
	struct names names;
	size_t i, j;

	for (i = 0; i < view->interfaces.n; i++) {
		names_read(&names, NET "/%s", name_of(view, i));
		for (j = 0; j < names.n; j++)
			if (!strncmp(names.name[j], "upper_", 6))
				layers_add(&view->interfaces, names.name[j] + 6,
					   names.name[j] + 6, 0, i);
		names_free(&names);
	}
}

static void add_own(struct view *view)
{
	struct names names;
	char path[300];
	size_t i;

	names_read(&names, NET);
	for (i = 0; i < names.n; i++) {
		snprintf(path, sizeof(path), NET "/%.250s", names.name[i]);
		if (is_below(view->look, path))
			layers_add(&view->interfaces, names.name[i], names.name[i], 0, BOTTOM);
	}
	names_free(&names);
}

static void find_default_routes(const struct view *view)
{
	struct routes routes;
	size_t i;

	for (i = 0; i < view->interfaces.n; i++) {
		struct use use = { .kind = "route" };

		routes_read(&routes, if_nametoindex(name_of(view, i)));
		if (!routes.carries_default)
			continue;
		use_say(&use, "%s carries the default route", name_of(view, i));
		found(view, i, "default route", &use);
	}
}

static void find_routes(const struct view *view, size_t i)
{
	struct use use = { .kind = "route" };
	struct routes routes;

	routes_read(&routes, if_nametoindex(name_of(view, i)));
	if (!routes.n)
		return;
	if (routes.n == 1)
		use_say(&use, "%s carries the route to %s", name_of(view, i), routes.first);
	else
		use_say(&use, "%s carries %u routes, such as that to %s", name_of(view, i),
			routes.n, routes.first);
	use_cure(&use, "ip route flush dev %s", name_of(view, i));
	found(view, i, routes.first, &use);
}

/* The existence of an interface is a use of the interface below it. */
static void find_port(const struct view *view, size_t i)
{
	size_t below = view->interfaces.layer[i].below;
	const char *lower, *upper = name_of(view, i), *kind = "";
	struct use use = { .kind = "port" };
	char master[64];

	if (below == BOTTOM)
		return;
	lower = name_of(view, below);
	link_name(master, sizeof(master), NET "/%s/master", lower);
	if (strcmp(master, upper)) {
		use_say(&use, "%s is on top of %s", upper, lower);
		use_cure(&use, "ip link delete %s", upper);
	} else {
		if (file_exists(NET "/%s/bonding", upper))
			kind = "the bond ";
		else if (file_exists(NET "/%s/bridge", upper))
			kind = "the bridge ";
		use_say(&use, "%s is in %s%s", lower, kind, upper);
		/* a port of Open vSwitch cannot be removed in this way */
		if (!strcmp(upper, "ovs-system"))
			use_cure(&use, "ovs-vsctl del-port %s", lower);
		else
			use_cure(&use, "ip link set %s nomaster", lower);
	}
	found(view, i, NULL, &use);
}

/* Writes an address, unless the interface has made it by itself when it was brought up. */
static bool address_text(char *text, size_t size, const struct sockaddr *address)
{
	if (!address)
		return false;
	if (address->sa_family == AF_INET)
		return inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text,
				 size);
	if (address->sa_family != AF_INET6 ||
	    IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)address)->sin6_addr))
		return false;
	return inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text, size);
}

static void find_addresses(const struct view *view, size_t i)
{
	struct ifaddrs *all, *a;
	bool up = false;

	if (getifaddrs(&all))
		return;
	for (a = all; a; a = a->ifa_next) {
		struct use use = { .kind = "address" };
		char text[INET6_ADDRSTRLEN];

		/* eth0:1 is a label of eth0 */
		a->ifa_name[strcspn(a->ifa_name, ":")] = 0;
		if (strcmp(a->ifa_name, name_of(view, i)))
			continue;
		up |= a->ifa_flags & IFF_UP;
		if (!address_text(text, sizeof(text), a->ifa_addr))
			continue;
		use_say(&use, "%s has the address %s", name_of(view, i), text);
		use_cure(&use, "ip address flush dev %s", name_of(view, i));
		found(view, i, text, &use);
	}
	freeifaddrs(all);
	if (up && i < view->own) {
		struct use use = { .kind = "up", .noted = true };

		use_say(&use, "%s is up: after unbind it is down, in no bridge or bond, and "
			"without addresses and routes",
			name_of(view, i));
		found(view, i, NULL, &use);
	}
}

static void find_sockets(const struct view *view, size_t i)
{
	int last = -1;
	struct taps taps;
	size_t j;

	taps_read(&taps, if_nametoindex(name_of(view, i)));
	for (j = 0; j < taps.n; j++) {
		const struct tap *tap = &taps.tap[j];
		struct use use = { .kind = "capture" };
		char who[96] = "a program that no process shows";

		/* a program may have one for each of its threads */
		if (tap->pid == last)
			continue;
		last = tap->pid;
		if (tap->pid) {
			snprintf(who, sizeof(who), "%s[%d]", tap->name, tap->pid);
			use_cure(&use, "kill %d", tap->pid);
		}
		if (tap->protocol == ETH_P_ALL)
			use_say(&use, "%s is captured by %s", name_of(view, i), who);
		else
			use_say(&use, "%s gives its frames of type 0x%04x to %s", name_of(view, i),
				tap->protocol, who);
		found(view, i, NULL, &use);
	}
	taps_free(&taps);
}

/* Without a mode, ip ends a program of the driver's only. */
static const char *const xdp_words[] = {
	[XDP_ATTACHED_DRV] = "xdpdrv",
	[XDP_ATTACHED_SKB] = "xdpgeneric",
	[XDP_ATTACHED_HW] = "xdpoffload",
};

static void find_xdp(const struct view *view, size_t i)
{
	const char *name = name_of(view, i);
	unsigned int mode = xdp_mode(if_nametoindex(name));
	struct use use = { .kind = "xdp" };

	if (mode == XDP_ATTACHED_NONE)
		return;
	use_say(&use, "%s has an XDP program", name);
	if (mode < ARRAY_SIZE(xdp_words))
		use_cure(&use, "ip link set %s %s off", name, xdp_words[mode]);
	else
		use_cure(&use, "bpftool net show dev %s", name);
	found(view, i, NULL, &use);
}

static void find_pppoe(const struct view *view, size_t i)
{
	struct use use = { .kind = "pppoe" };
	char name[64];
	int pid;

	if (!has_pppoe(name_of(view, i)))
		return;
	pid = pppoe_owner(name, sizeof(name), name_of(view, i));
	if (pid) {
		use_say(&use, "%s carries a PPPoE session of %s[%d]", name_of(view, i), name, pid);
		use_cure(&use, "kill %d", pid);
	} else {
		use_say(&use, "%s carries a PPPoE session", name_of(view, i));
		use_cure(&use, "poff -a");
	}
	found(view, i, NULL, &use);
}

static void find_filters(const struct view *view, size_t i)
{
	const char *name = name_of(view, i);
	unsigned int interface = if_nametoindex(name);
	struct use use = { .kind = "tc" };

	if (has_filters(interface)) {
		use_say(&use, "%s has filters of tc", name);
		use_cure(&use, "tc filter show dev %s ingress; tc filter show dev %s egress", name,
			 name);
		found(view, i, NULL, &use);
	}
	if (is_redirected_to(interface)) {
		use_say(&use, "tc redirects or mirrors frames to %s", name);
		use_cure(&use, "tc actions list action mirred");
		found(view, i, NULL, &use);
	}
}

/* Finds targets of netconsole, which are known in configfs. */
static void find_netconsole(const struct view *view, size_t i)
{
	struct use use = { .kind = "console" };
	struct names targets;
	char name[64];
	size_t j;

	names_read(&targets, NETCONSOLE);
	for (j = 0; j < targets.n; j++) {
		const char *target = targets.name[j];

		file_read(name, sizeof(name), NETCONSOLE "/%s/dev_name", target);
		if (strcmp(name, name_of(view, i)) ||
		    !file_number(0, NETCONSOLE "/%s/enabled", target))
			continue;
		use_say(&use, "%s sends the kernel's log (netconsole)", name);
		use_cure(&use, "echo 0 >" NETCONSOLE "/%.255s/enabled", target);
		found(view, i, NULL, &use);
	}
	names_free(&targets);
}

/* Finds disks of ATA over Ethernet, which needs no address. */
static void find_aoe(const struct view *view, size_t i)
{
	struct use use = { .kind = "aoe" };
	struct names disks;
	size_t j;

	names_read(&disks, "/sys/class/block");
	for (j = 0; j < disks.n; j++) {
		if (!file_has_word(name_of(view, i), "/sys/class/block/%s/netif", disks.name[j]))
			continue;
		use_say(&use, "%s leads to the disk %s (ATA over Ethernet)", name_of(view, i),
			disks.name[j]);
		found(view, i, NULL, &use);
	}
	names_free(&disks);
}

static void look_at_view(struct view *view)
{
	size_t i;

	add_uppers(view);
	if (!*view->where)
		look_at_login(view->look, &view->interfaces);
	find_default_routes(view);
	for (i = view->interfaces.n; i-- > 0;) {
		find_routes(view, i);
		find_addresses(view, i);
		find_sockets(view, i);
		find_xdp(view, i);
		find_pppoe(view, i);
		find_filters(view, i);
		/* these are in the first namespace */
		if (!*view->where) {
			find_netconsole(view, i);
			find_aoe(view, i);
		}
		find_port(view, i);
	}
}

static bool is_veth(const char *interface)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq request = { .ifr_data = (void *)&info };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	ret = ioctl(fd, SIOCETHTOOL, &request);
	close(fd);
	return !ret && !strcmp(info.driver, "veth");
}

/* Is there an interface below it in this namespace? Then its iflink is an index in it. */
static bool has_lower(const char *interface)
{
	struct names names;
	bool has = false;
	size_t i;

	names_read(&names, NET "/%s", interface);
	for (i = 0; i < names.n; i++)
		has |= !strncmp(names.name[i], "lower_", strlen("lower_"));
	names_free(&names);
	return has;
}

/*
 * Adds interfaces of containers that are on top of ours, such as a macvlan: the kernel does not
 * list them as uppers of ours.
 */
static void add_moved(struct view *view, const unsigned int *own, size_t nr_own)
{
	struct names names;
	size_t i, j;

	names_read(&names, NET);
	for (i = 0; i < names.n; i++) {
		unsigned int lower = file_number(0, NET "/%s/iflink", names.name[i]);
		bool is = false;

		for (j = 0; j < nr_own; j++)
			is |= lower == own[j] &&
			      lower != file_number(0, NET "/%s/ifindex", names.name[i]);
		if (is && !file_exists(NET "/%s/device", names.name[i]) &&
		    !is_veth(names.name[i]) && !has_lower(names.name[i]))
			layers_add(&view->interfaces, names.name[i], names.name[i], 0, BOTTOM);
	}
	names_free(&names);
}

/* Enters the namespace, and makes /sys show its interfaces. */
static bool enter(const struct namespace *namespace)
{
	int fd = open(namespace->path, O_RDONLY | O_CLOEXEC);
	bool entered = fd >= 0 && !setns(fd, CLONE_NEWNET);

	close(fd);
	return entered && !mount("sysfs", "/sys", "sysfs", 0, NULL);
}

/* Returns the number of the function's own interfaces. */
static size_t look_elsewhere(const struct look *look, const struct namespace *namespace,
			     const unsigned int *own, size_t nr_own)
{
	struct view view = { .look = look };
	size_t i;

	if (!enter(namespace))
		return 0;
	snprintf(view.where, sizeof(view.where), " in the network namespace of %s",
		 namespace->label);
	add_own(&view);
	view.own = view.interfaces.n;
	add_moved(&view, own, nr_own);
	look_at_view(&view);
	/* an interface in the namespace of process 1 was not moved there: do not report it */
	for (i = 0; i < view.interfaces.n; i++) {
		struct use use = { .kind = "namespace" };

		if (view.interfaces.layer[i].below != BOTTOM ||
		    (i < view.own && namespace->pid == 1))
			continue;
		use_say(&use, i < view.own ? "%s is" : "%s, which is on top of it, is",
			name_of(&view, i));
		found(&view, i, NULL, &use);
	}
	layers_free(&view.interfaces);
	return view.own;
}

/* Has its driver made interfaces? Their directory does not show those of other namespaces. */
static bool has_interfaces(const struct function *f)
{
	struct names names;
	bool has = file_exists(PCI_DEVICES "/%s/net", f->address);
	size_t i;

	names_read(&names, PCI_DEVICES "/%s", f->address);
	for (i = 0; i < names.n; i++)
		has |= !strncmp(names.name[i], "virtio", strlen("virtio")) &&
		       file_exists(PCI_DEVICES "/%s/%s/net", f->address, names.name[i]);
	names_free(&names);
	return has;
}

/* Such as one that only an open file keeps. */
static void say_hidden(const struct look *look)
{
	struct use use = { .kind = "namespace", .what = look->function->address };

	use_say(&use, "its interface is in a network namespace that no process here shows");
	use_add(look, &use, NULL);
}

/* Runs in a child, see uses_of(): so it may change its namespaces. */
void look_at_network(const struct look *look)
{
	struct view view = { .look = look };
	struct namespaces namespaces;
	unsigned int own[64];
	bool entered = false;
	size_t i, nr_own = 0, n;

	add_own(&view);
	n = view.own = view.interfaces.n;
	for (; nr_own < view.interfaces.n && nr_own < ARRAY_SIZE(own); nr_own++)
		own[nr_own] = if_nametoindex(name_of(&view, nr_own));
	look_at_view(&view);
	layers_free(&view.interfaces);
	if (look->function->class >> 16 != 0x02)
		return;
	namespaces_read(&namespaces, "net");
	if (namespaces.n && !unshare(CLONE_NEWNS) &&
	    !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		for (i = 0, entered = true; i < namespaces.n; i++)
			n += look_elsewhere(look, &namespaces.namespace[i], own, nr_own);
	if (!n && (entered || !namespaces.n) && has_interfaces(look->function))
		say_hidden(look);
	namespaces_free(&namespaces);
}
