// SPDX-License-Identifier: MIT
/* Why a call failed, for a person; and system calls that return their errno. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"

/* This thread's; NULL: it has none yet. */
static struct reason *find_reason(struct flatiommu *flat)
{
	struct reason *reason;

	for (reason = &flat->reasons; reason; reason = reason->next)
		if (pthread_equal(reason->thread, pthread_self()))
			break;
	return reason;
}

static void keep_reason(struct flatiommu *flat, const char *line)
{
	struct reason *reason;

	pthread_mutex_lock(&flat->reason_lock);
	reason = find_reason(flat);
	if (!reason) {
		reason = calloc(1, sizeof(*reason));
		if (reason) {
			reason->thread = pthread_self();
			reason->next = flat->reasons.next;
			flat->reasons.next = reason;
		}
	}
	if (reason)
		strcpy(reason->line, line);
	pthread_mutex_unlock(&flat->reason_lock);
}

const char *flatiommu_reason(struct flatiommu *flat)
{
	const struct reason *reason;

	if (!flat)
		return "no context";
	pthread_mutex_lock(&flat->reason_lock);
	reason = find_reason(flat);
	pthread_mutex_unlock(&flat->reason_lock);
	/* Only this thread writes to it. */
	return reason ? reason->line : "";
}

void free_reasons(struct flatiommu *flat)
{
	struct reason *reason = flat->reasons.next, *next;

	for (; reason; reason = next) {
		next = reason->next;
		free(reason);
	}
}

int fail(struct flatiommu *flat, int err, const char *format, ...)
{
	char line[sizeof(((struct reason *)0)->line)];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	keep_reason(flat, line);
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
