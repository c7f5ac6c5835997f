// SPDX-License-Identifier: MIT
#include "cover.h"

#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "raw.h"
#include "variable.h"

/* Has run made this mount namespace? The one that run was started in is other programs', too. */
static bool is_in_own_namespace(void)
{
	const char *left = getenv(RUN_VARIABLE);
	char here[64];

	return left && !strncmp(left, "mnt:", 4) &&
	       !raw_readlink("/proc/self/ns/mnt", here, sizeof(here)) && strcmp(left, here);
}

static void cover(int groups)
{
	struct statfs fs;
	char path[64];

	/* Another file system: the groups are covered already. */
	if (fstatfs(groups, &fs) || fs.f_type != SYSFS_MAGIC)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", groups);
	raw(SYS_mount, "flatiommu", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
	    "size=4k,mode=755");
}

void cover_groups(int dir, const char *point)
{
	int err = errno, at, groups;

	if (!is_in_own_namespace())
		return;
	at = (int)raw(SYS_openat, dir, point, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (at < 0)
		return;
	groups = (int)raw(SYS_openat, at, "kernel/iommu_groups", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (groups >= 0) {
		cover(groups);
		raw_close(groups);
	}
	raw_close(at);
	errno = err;
}
