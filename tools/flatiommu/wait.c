// SPDX-License-Identifier: MIT
#include "wait.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "record.h"

long long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/*
 * Closes all files but two in the child. If the child outlives us, a reader of our output would
 * otherwise wait for it.
 */
static void close_others(int fd, int other)
{
	int low = fd < other ? fd : other, high = fd < other ? other : fd;

	if (low > 0)
		close_range(0, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0U, 0);
}

static _Noreturn void child(pid_t parent, wait_step *step, const void *arg, int answer)
{
	int ret;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	close_others(answer, record_lock_fd());
	ret = step(arg, answer);
	_exit(write(answer, &ret, sizeof(ret)) != sizeof(ret));
}

/* Reads all that the child writes. The last part is the step's return value. */
static int collect(int fd, long long deadline, char **text, size_t *length)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	char *grown;
	ssize_t n;
	int ret;

	*text = NULL;
	*length = 0;
	do {
		long long left = deadline - milliseconds();

		ret = poll(&poll_fd, 1, left > 0 ? left : 0);
		if (ret < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		if (ret <= 0)
			return ret ? -errno : -ETIMEDOUT;
		grown = realloc(*text, *length + 4096);
		if (!grown)
			return -ENOMEM;
		*text = grown;
		n = read(fd, *text + *length, 4096);
		if (n > 0)
			*length += n;
	} while (n > 0);
	if (*length < sizeof(ret))
		return -EIO;
	*length -= sizeof(ret);
	memcpy(&ret, *text + *length, sizeof(ret));
	(*text)[*length] = 0;
	return ret;
}

int wait_for(unsigned int seconds, wait_step *step, const void *arg, char **answer)
{
	long long deadline = milliseconds() + seconds * 1000LL;
	pid_t parent = getpid(), pid;
	char *text = NULL;
	int ends[2], ret;
	size_t length;

	if (answer)
		*answer = NULL;
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid)
		child(parent, step, arg, ends[1]);
	ret = pid < 0 ? -errno : 0;
	close(ends[1]);
	if (!ret) {
		ret = collect(ends[0], deadline, &text, &length);
		if (answer && ret != -ETIMEDOUT)
			*answer = text;
		else
			free(text);
	}
	close(ends[0]);
	if (pid > 0) {
		if (ret == -ETIMEDOUT)
			kill(pid, SIGKILL);
		/* a child that sleeps in the kernel does not end at once: do not wait for it */
		waitpid(pid, NULL, ret == -ETIMEDOUT ? WNOHANG : 0);
	}
	return ret;
}

static int read_step(const void *arg, int answer)
{
	char text[4096];
	int ret = file_read(text, sizeof(text), "%s", (const char *)arg);

	return !ret && write(answer, text, strlen(text)) < 0 ? -errno : ret;
}

int file_read_in_time(char *buf, size_t size, const char *fmt, ...)
{
	char path[PATH_MAX], *text;
	va_list args;
	int ret;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	ret = wait_for(LOOK_SECONDS, read_step, path, &text);
	snprintf(buf, size, "%s", text ? text : "");
	free(text);
	return ret;
}

struct order {
	const char *text;
	const char *path;
};

static int write_step(const void *arg, int answer)
{
	const struct order *order = arg;

	(void)answer;
	return file_write(order->text, "%s", order->path);
}

int file_write_in_time(const char *text, const char *fmt, ...)
{
	char path[PATH_MAX];
	struct order order = { .text = text, .path = path };
	va_list args;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	return wait_for(CHANGE_SECONDS, write_step, &order, NULL);
}
