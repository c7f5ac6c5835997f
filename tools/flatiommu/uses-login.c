// SPDX-License-Identifier: MIT
/* Is a function the network connection of the user who has called us? */
#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sysfs.h"
#include "use.h"

/* Finds SSH_CONNECTION, which sudo removes, in the environment of our parent processes. */
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

/* Returns this machine's address on the route to @client. */
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

static bool is_ours(const struct layers *interfaces, const char *name, size_t *i)
{
	for (*i = 0; *i < interfaces->n; (*i)++)
		if (!strcmp(interfaces->layer[*i].name, name))
			return true;
	return false;
}

void look_at_login(const struct look *look, const struct layers *interfaces)
{
	char client[64], server[64], own[64] = "", text[64];
	struct use use = { .kind = "login" };
	struct ifaddrs *all, *a;
	size_t i;

	if (!find_connection(client, server, sizeof(client)) || getifaddrs(&all))
		return;
	own_address(own, sizeof(own), client);
	for (a = all; a; a = a->ifa_next) {
		int family = a->ifa_addr ? a->ifa_addr->sa_family : AF_UNSPEC;
		socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) :
						    sizeof(struct sockaddr_in6);

		if ((family != AF_INET && family != AF_INET6) ||
		    getnameinfo(a->ifa_addr, len, text, sizeof(text), NULL, 0, NI_NUMERICHOST))
			continue;
		a->ifa_name[strcspn(a->ifa_name, ":")] = 0;
		if ((strcmp(text, own) && strcmp(text, server)) ||
		    !is_ours(interfaces, a->ifa_name, &i))
			continue;
		use.what = interfaces->layer[i].name;
		use_say(&use, "%s is the way to %s, from where you are logged in", a->ifa_name,
			client);
		use_add(look, &use, layers_chain(interfaces, i, NULL));
		break;
	}
	freeifaddrs(all);
}
