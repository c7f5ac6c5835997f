// SPDX-License-Identifier: MIT
#include "hide.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "mountinfo.h"
#include "sysfs.h"

/* The path in a sysfs. */
#define GROUPS "/kernel/iommu_groups"

static char place[PATH_MAX];

/* Hides the groups in a mount of sysfs: its directory @root is mounted at @point. */
static int hide_in(const char *root, const char *point)
{
	size_t above = strcmp(root, "/") ? strlen(root) : 0;
	struct statfs fs;

	if (strncmp(GROUPS, root, above) || (GROUPS[above] && GROUPS[above] != '/'))
		return 0;
	if (snprintf(place, sizeof(place), "%s%s", point, &GROUPS[above]) >= (int)sizeof(place))
		return 0;
	/* The groups are hidden already, or another file system is mounted over @point. */
	if (statfs(place, &fs) || fs.f_type != SYSFS_MAGIC)
		return 0;
	return mount("flatiommu", place, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		     "size=4k,mode=755") ? -errno : 0;
}

int hide_groups(const char **where)
{
	char *text = file_text("/proc/self/mountinfo"), *rest = text;
	struct mountinfo m;
	int ret;

	*where = place;
	/* Without asking /proc, which may be missing. */
	ret = hide_in("/", "/sys");
	while (!ret && mountinfo_next(&rest, &m))
		if (!strcmp(m.type, "sysfs"))
			ret = hide_in(m.root, m.point);
	free(text);
	return ret;
}
