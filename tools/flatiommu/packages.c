// SPDX-License-Identifier: MIT
#include "packages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modules.h"
#include "sysfs.h"

/* Package managers by ID and ID_LIKE of os-release(5). Arch has no package of mokutil. */
static const struct manager {
	const char *id;
	const char *install;
	/* "": depends on the kernel, see headers_of() */
	const char *package[MOKUTIL + 1];
} managers[] = {
	{ "debian", "apt install", { "", "dkms", "mokutil" } },
	{ "ubuntu", "apt install", { "", "dkms", "mokutil" } },
	{ "fedora", "dnf install", { "", "dkms", "mokutil" } },
	{ "rhel", "dnf install", { "", "dkms", "mokutil" } },
	{ "centos", "dnf install", { "", "dkms", "mokutil" } },
	{ "suse", "zypper install", { "", "dkms", "mokutil" } },
	{ "opensuse", "zypper install", { "", "dkms", "mokutil" } },
	{ "arch", "pacman -S", { "", "dkms", NULL } },
};

/* Reads NAME=value of os-release(5), with or without quotes, or "". */
static void read_field(char *buf, size_t size, const char *name)
{
	char *text = file_text("/etc/os-release"), *line, *rest;
	size_t len = strlen(name);

	if (!text)
		text = file_text("/usr/lib/os-release");
	buf[0] = 0;
	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, name, len) || line[len] != '=')
			continue;
		line += len + 1;
		line += strspn(line, "\"'");
		snprintf(buf, size, "%.*s", (int)strcspn(line, "\"'"), line);
	}
	free(text);
}

bool is_distribution(const char *id)
{
	char own[64], like[128], *word, *rest;

	read_field(own, sizeof(own), "ID");
	if (!strcmp(own, id))
		return true;
	read_field(like, sizeof(like), "ID_LIKE");
	for (word = strtok_r(like, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		if (!strcmp(word, id))
			return true;
	return false;
}

/* Finds the package with the running kernel's headers. Returns false if it is not known. */
static bool headers_of(char *buf, size_t size, const struct manager *manager)
{
	const char *release = kernel_release(), *flavour = strrchr(release, '-');

	if (!strncmp(manager->install, "apt", 3))
		snprintf(buf, size, "linux-headers-%s", release);
	else if (!strncmp(manager->install, "dnf", 3))
		snprintf(buf, size, "kernel-%sdevel-%s", strstr(release, "uek") ? "uek-" : "", release);
	else if (!flavour)
		return false;
	else if (!strncmp(manager->install, "zypper", 6))
		snprintf(buf, size, "kernel%s-devel", flavour);
	else if (strstr(release, "-arch"))
		snprintf(buf, size, "linux-headers");
	else if (!strcmp(flavour, "-lts") || !strcmp(flavour, "-zen") || !strcmp(flavour, "-hardened"))
		snprintf(buf, size, "linux%s-headers", flavour);
	else
		return false;
	return true;
}

bool install_command(char *buf, size_t size, enum package package)
{
	const struct manager *manager = NULL;
	char headers[256];
	const char *name;
	size_t i;

	buf[0] = 0;
	for (i = 0; i < ARRAY_SIZE(managers) && !manager; i++)
		if (is_distribution(managers[i].id))
			manager = &managers[i];
	name = manager ? manager->package[package] : NULL;
	if (name && !*name)
		name = headers_of(headers, sizeof(headers), manager) ? headers : NULL;
	if (!name)
		return false;
	snprintf(buf, size, "%s %s", manager->install, name);
	return true;
}
