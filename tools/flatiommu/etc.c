// SPDX-License-Identifier: MIT
#include "etc.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output.h"
#include "sysfs.h"

int etc_write(struct tool *tool, struct json_object *changes, const char *directory,
	      const char *path, const char *text)
{
	int ret = 0;

	if (mkdir(directory, 0755) && errno != EEXIST)
		ret = -errno;
	if (!ret)
		ret = file_replace(text, "%s", path);
	if (ret)
		return tool_fail(tool, ret, "%s: %s", path, strerror(-ret));
	note(changes, "wrote %s", path);
	return 0;
}

int etc_remove(struct tool *tool, struct json_object *changes, const char *path)
{
	/* unlink() returns EROFS also for a missing file */
	if (!file_exists("%s", path))
		return 0;
	if (!unlink(path))
		note(changes, "removed %s", path);
	else if (errno != ENOENT)
		return tool_fail(tool, -errno, "%s: %s", path, strerror(errno));
	return 0;
}
