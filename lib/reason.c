// SPDX-License-Identifier: MIT
/* Why a call failed, for a person; and system calls that return their errno. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"

int fail(struct flatiommu *flat, int err, const char *format, ...)
{
	char line[sizeof(flat->reason)];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	pthread_mutex_lock(&flat->reason_lock);
	memcpy(flat->reason, line, sizeof(line));
	pthread_mutex_unlock(&flat->reason_lock);
	/* Not under a lock: a hook may take its time. */
	if (flat->log)
		flat->log(flat->log_arg, line);
	return err;
}

const char *errno_text(int err, char *text, size_t size)
{
	return strerror_r(-err, text, size);
}

int call(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
