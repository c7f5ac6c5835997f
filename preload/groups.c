// SPDX-License-Identifier: MIT
#include "groups.h"

#include <stddef.h>

/*
 * Linux keeps this directory only for programs that check whether it exists. It has been empty
 * since 6.1 at least.
 */
#define EMPTY "/proc/tty/ldisc"

static const char *skip_slashes(const char *path)
{
	while (*path == '/')
		path++;
	return path;
}

const char *groups_path(const char *path)
{
	static const char *const names[] = { "sys", "kernel", "iommu_groups" };
	const char *at = path, *name;
	size_t i;

	if (!path || *path != '/')
		return path;
	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (*at != '/')
			return path;
		at = skip_slashes(at);
		for (name = names[i]; *name; name++, at++)
			if (*at != *name)
				return path;
	}
	if (*at && *at != '/')
		return path;
	at = skip_slashes(at);
	return *at && !(at[0] == '.' && !at[1]) ? EMPTY "/0" : EMPTY;
}
