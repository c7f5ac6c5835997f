// SPDX-License-Identifier: MIT
#include "uses.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "disks.h"
#include "output.h"
#include "sysfs.h"

struct use {
	char cure[PATH_MAX];
	char text[PATH_MAX];
};

/* @use->cure and @use->text were written; what they are about is @what. */
static void add_use(struct json_object *uses, const char *kind, const char *what,
		    const struct use *use)
{
	struct json_object *o = add_object(uses);

	put_string(o, "kind", kind);
	put_string(o, "what", what);
	put_string(o, "text", use->text);
	put_string(o, "cure", use->cure);
}

/* For a shell, which takes it as one word. */
static void quote(char *to, size_t size, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._-+:,@";
	char *end = to + size - 6;

	if (strspn(text, plain) == strlen(text)) {
		snprintf(to, size, "%s", text);
		return;
	}
	*to++ = '\'';
	for (; *text && to < end; text++) {
		if (*text == '\'')
			to += sprintf(to, "'\\'");
		*to++ = *text;
	}
	*to++ = '\'';
	*to = 0;
}

/* A block device by its number, as btrfs and others mount with numbers that are no device's. */
static dev_t disk_number(const char *disk)
{
	unsigned int major, minor;
	char text[32];

	if (file_read(text, sizeof(text), "/sys/class/block/%s/dev", disk) ||
	    sscanf(text, "%u:%u", &major, &minor) != 2)
		return 0;
	return makedev(major, minor);
}

static bool is_node_of(const char *node, dev_t disk)
{
	struct stat st;

	return *node == '/' && !stat(node, &st) && S_ISBLK(st.st_mode) && st.st_rdev == disk;
}

/* Blanks in mountinfo are \040 and the like. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		unsigned int c;

		if (sscanf(text, "\\%3o", &c) == 1 && strlen(text) >= 4) {
			*to++ = c;
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = 0;
}

static void find_mounts(struct json_object *uses, const char *disk)
{
	char *text = file_text("/proc/self/mountinfo"), *line, *rest;
	dev_t number = disk_number(disk);

	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char where[PATH_MAX], source[PATH_MAX] = "", word[PATH_MAX];
		char *dash = strstr(line, " - ");
		unsigned int major, minor;
		struct use use;

		if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &major, &minor, where) != 3 || !dash)
			continue;
		sscanf(dash, " - %*s %4095s", source);
		unescape(source);
		if (makedev(major, minor) != number && !is_node_of(source, number))
			continue;
		unescape(where);
		quote(word, sizeof(word), where);
		snprintf(use.text, sizeof(use.text), "%.64s is mounted at %.3000s", disk, where);
		snprintf(use.cure, sizeof(use.cure), "umount %.4000s", word);
		add_use(uses, "mount", disk, &use);
	}
	free(text);
}

static void find_swap(struct json_object *uses, const char *disk)
{
	char *text = file_text("/proc/swaps"), *line, *rest;
	dev_t number = disk_number(disk);

	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char word[PATH_MAX];
		struct use use;

		line[strcspn(line, " \t")] = 0;
		unescape(line);
		if (!is_node_of(line, number))
			continue;
		snprintf(use.text, sizeof(use.text), "%.64s is swapped to", disk);
		quote(word, sizeof(word), line);
		snprintf(use.cure, sizeof(use.cure), "swapoff %.4000s", word);
		add_use(uses, "swap", disk, &use);
	}
	free(text);
}

static void find_holders(struct json_object *uses, const char *disk)
{
	char *holder, name[128];
	struct use use;
	size_t i;

	for (i = 0; (holder = disk_holder(disk, i)); i++, free(holder)) {
		if (!file_read(name, sizeof(name), "/sys/class/block/%s/dm/name", holder))
			snprintf(use.cure, sizeof(use.cure), "dmsetup remove %s", name);
		else if (file_exists("/sys/class/block/%s/md", holder))
			snprintf(use.cure, sizeof(use.cure), "mdadm --stop /dev/%s", holder);
		else
			use.cure[0] = 0;
		snprintf(use.text, sizeof(use.text), "%.64s is a member of %s", disk, holder);
		add_use(uses, "member", disk, &use);
	}
}

/* Of what is no member now, but will be missed when its volume or array is assembled. */
static const char *signature(int fd)
{
	unsigned char block[4096 + 512];
	ssize_t n = pread(fd, block, sizeof(block), 0);
	size_t sector;

	for (sector = 0; sector < 4 && n >= (ssize_t)(sector + 1) * 512; sector++)
		if (!memcmp(block + sector * 512, "LABELONE", 8))
			return "LVM";
	/* version 1.1 is at the start, 1.2 behind 4 KiB */
	for (sector = 0; sector <= 8 && n >= (ssize_t)(sector + 1) * 512; sector += 8)
		if (!memcmp(block + sector * 512, "\xfc\x4e\x2b\xa9", 4))
			return "MD";
	return NULL;
}

/* Other mount namespaces, and whatever else takes a disk for itself, like ZFS. */
static void find_held(struct json_object *uses, const char *disk)
{
	char node[PATH_MAX], *bang;
	const char *kind;
	struct use use;
	int fd;

	snprintf(node, sizeof(node), "/dev/%s", disk);
	/* cciss/c0d0 is cciss!c0d0 in sysfs */
	while ((bang = strchr(node, '!')))
		*bang = '/';
	use.cure[0] = 0;
	fd = open(node, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		if (errno != EBUSY)
			return;
		snprintf(use.text, sizeof(use.text),
			 "%.64s is in use by the kernel, maybe mounted in a container", disk);
		add_use(uses, "held", disk, &use);
		return;
	}
	kind = signature(fd);
	if (kind) {
		snprintf(use.text, sizeof(use.text), "%.64s is a member of an %s volume or array",
			 disk, kind);
		add_use(uses, "member", disk, &use);
	}
	close(fd);
}

static void find_openers(struct json_object *uses, const struct processes *processes,
			 const char *disk)
{
	dev_t number = disk_number(disk);
	struct use use;
	size_t i;

	for (i = 0; i < processes->n; i++) {
		const struct opened *o = &processes->opened[i];

		if (o->pid == getpid() || !is_node_of(o->node, number))
			continue;
		snprintf(use.text, sizeof(use.text), "%.64s is open by %s[%d]", disk, o->name,
			 o->pid);
		snprintf(use.cure, sizeof(use.cure), "kill %d", o->pid);
		add_use(uses, "open", disk, &use);
	}
}

static void find_disk_uses(struct json_object *uses, const struct function *f,
			   const struct processes *processes)
{
	struct names disks;
	size_t i;

	disks_of(&disks, f->address);
	for (i = 0; i < disks.n; i++) {
		find_mounts(uses, disks.name[i]);
		find_swap(uses, disks.name[i]);
		find_holders(uses, disks.name[i]);
		find_openers(uses, processes, disks.name[i]);
	}
	/* what has one of the names above is held, too, and so is the whole disk */
	for (i = 0; i < disks.n && !json_object_array_length(uses); i++)
		find_held(uses, disks.name[i]);
	names_free(&disks);
}

/* sshd tells it to the shell, and sudo keeps it from us: look at what started us. */
static bool find_connection(char *client, char *server, size_t size)
{
	static const char key[] = "SSH_CONNECTION=";
	char path[64], variable[256];
	int pid = getpid(), depth;
	bool found = false;

	for (depth = 0; depth < 64 && pid > 1 && !found; depth++) {
		char *entry = NULL, *text;
		size_t room = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/environ", pid);
		f = fopen(path, "re");
		while (f && !found && getdelim(&entry, &room, 0, f) > 0)
			found = !strncmp(entry, key, strlen(key)) &&
				snprintf(variable, sizeof(variable), "%s", entry + strlen(key));
		free(entry);
		if (f)
			fclose(f);
		text = file_text("/proc/%d/stat", pid);
		/* the name may have blanks and brackets */
		if (!text || !strrchr(text, ')') ||
		    sscanf(strrchr(text, ')'), ") %*c %d", &pid) != 1)
			pid = 0;
		free(text);
	}
	return found && size >= 64 && sscanf(variable, "%63s %*s %63s", client, server) == 2;
}

/* The address that this machine talks to @client from. */
static bool own_address(char *own, size_t size, const char *client)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM }, *to;
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	bool found = false;
	int fd;

	if (getaddrinfo(client, "9", &hints, &to))
		return false;
	fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		found = !connect(fd, to->ai_addr, to->ai_addrlen) &&
			!getsockname(fd, (struct sockaddr *)&from, &len) &&
			!getnameinfo((struct sockaddr *)&from, len, own, size, NULL, 0,
				     NI_NUMERICHOST);
		close(fd);
	}
	freeaddrinfo(to);
	return found;
}

/* A bond, a bridge or a VLAN goes through others. */
static bool leads_through(const char *interface, const char *address, int depth)
{
	char path[PATH_MAX], above[PCI_ADDRESS_SIZE];
	struct names names;
	bool does = false;
	size_t i;

	snprintf(path, sizeof(path), "/sys/class/net/%s", interface);
	if (function_above(above, sizeof(above), path))
		return !strcmp(above, address);
	names_read(&names, "/sys/class/net/%s", interface);
	for (i = 0; i < names.n && depth < 8 && !does; i++)
		if (!strncmp(names.name[i], "lower_", 6))
			does = leads_through(names.name[i] + 6, address, depth + 1);
	names_free(&names);
	return does;
}

static void find_login(struct json_object *uses, const struct function *f)
{
	char client[64], server[64], own[64] = "", text[64];
	struct ifaddrs *all, *i;
	struct use use;

	if (!find_connection(client, server, sizeof(client)) || getifaddrs(&all))
		return;
	own_address(own, sizeof(own), client);
	for (i = all; i; i = i->ifa_next) {
		int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
		socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) :
						    sizeof(struct sockaddr_in6);

		if ((family != AF_INET && family != AF_INET6) ||
		    getnameinfo(i->ifa_addr, len, text, sizeof(text), NULL, 0, NI_NUMERICHOST))
			continue;
		if ((strcmp(text, own) && strcmp(text, server)) ||
		    !leads_through(i->ifa_name, f->address, 0))
			continue;
		use.cure[0] = 0;
		snprintf(use.text, sizeof(use.text),
			 "%s is the way to %s, where you are logged in from", i->ifa_name, client);
		add_use(uses, "login", i->ifa_name, &use);
		break;
	}
	freeifaddrs(all);
}

struct json_object *uses_of(const struct function *f, const struct processes *processes)
{
	struct json_object *uses = json_object_new_array();
	unsigned int vfs = nr_vfs(f);
	struct use use;

	if (is_on_vfio(f))
		return uses;
	find_disk_uses(uses, f, processes);
	find_login(uses, f);
	if (vfs) {
		snprintf(use.text, sizeof(use.text), "it has %u virtual functions, which would go",
			 vfs);
		snprintf(use.cure, sizeof(use.cure), "echo 0 >" PCI_DEVICES "/%s/sriov_numvfs",
			 f->address);
		add_use(uses, "vfs", f->address, &use);
	}
	return uses;
}
