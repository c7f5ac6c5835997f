// SPDX-License-Identifier: MIT
#include "limited.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Who reads our output, and who waits for our lock, must not wait for a child that hangs. */
static void let_go(int pipe)
{
	int null;

	/* first, as it may be one of the three below */
	dup2(pipe, 3);
	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	close_range(4, ~0U, 0);
}

static void be_child(struct json_object *(*make)(const void *data), const void *data, int pipe)
{
	struct json_object *made;
	const char *text;
	size_t len, at = 0;
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	let_go(pipe);
	made = make(data);
	text = json_object_to_json_string(made);
	for (len = strlen(text); at < len; at += n) {
		n = write(3, text + at, len - at);
		if (n < 0)
			_exit(EXIT_FAILURE);
	}
	_exit(EXIT_SUCCESS);
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* All that comes until the other end is closed; to be freed. */
static char *read_all(int fd, int seconds)
{
	long long end = now_ms() + seconds * 1000LL, left;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	char *text = NULL, *grown;
	size_t len = 0;
	ssize_t n;

	while ((left = end - now_ms()) > 0) {
		n = poll(&poll_fd, 1, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		grown = realloc(text, len + 4097);
		if (!grown)
			break;
		text = grown;
		n = read(fd, text + len, 4096);
		if (n < 0)
			break;
		len += n;
		text[len] = 0;
		if (!n)
			return text;
	}
	free(text);
	return NULL;
}

struct json_object *made_in_time(struct json_object *(*make)(const void *data), const void *data,
				 int seconds)
{
	struct json_object *made = NULL;
	int fds[2];
	char *text;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return NULL;
	pid = fork();
	if (!pid)
		be_child(make, data, fds[1]);
	close(fds[1]);
	text = pid > 0 ? read_all(fds[0], seconds) : NULL;
	close(fds[0]);
	if (text)
		made = json_tokener_parse(text);
	else if (pid > 0)
		kill(pid, SIGKILL);
	if (pid > 0)
		waitpid(pid, NULL, text ? 0 : WNOHANG);
	free(text);
	return made;
}
