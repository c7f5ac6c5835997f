// SPDX-License-Identifier: MIT
#include "say.h"

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "raw.h"

/*
 * A program that reads the pagemap of all its memory may cause a line for each page. Only the first
 * lines are useful.
 */
#define MOST_LINES 20

static int nr_lines;
static bool to_nobody;

void say_to_nobody(void)
{
	to_nobody = true;
}

void say_again(void)
{
	to_nobody = false;
}

/* A pipe that nobody reads must not end the program: it may never write to standard error itself. */
static void write_line(const char *line, int n)
{
	const struct timespec no_time = { 0 };
	sigset_t pipe, before, pending;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	sigpending(&pending);
	if (raw(SYS_write, STDERR_FILENO, line, n) == -EPIPE && !sigismember(&pending, SIGPIPE))
		raw(SYS_rt_sigtimedwait, &pipe, NULL, &no_time, sizeof(uint64_t));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void say(const char *fmt, ...)
{
	static const char head[] = "flatiommu: pagemap: ", last[] = "; more is not told";
	char line[512];
	va_list args;
	int n, err = errno;

	if (to_nobody)
		return;
	/* threads that print at once may print a few more lines */
	if (nr_lines++ >= MOST_LINES) {
		nr_lines = MOST_LINES;
		return;
	}
	n = snprintf(line, sizeof(line), "%s", head);
	va_start(args, fmt);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, args);
	va_end(args);
	if (n > (int)(sizeof(line) - sizeof(last)))
		n = (int)(sizeof(line) - sizeof(last));
	n += snprintf(line + n, sizeof(line) - (size_t)n, "%s\n", nr_lines == MOST_LINES ? last : "");
	write_line(line, n);
	errno = err;
}

/* If the program was started without standard error, one of its files will have that number. */
__attribute__((constructor(101))) static void begin(void)
{
	to_nobody = raw(SYS_fcntl, STDERR_FILENO, F_GETFD) < 0;
}
