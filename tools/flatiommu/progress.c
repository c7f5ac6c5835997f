// SPDX-License-Identifier: MIT
/* By a thread: a signal would end what is waited for in the kernel. */
#include "progress.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Protected by the lock: what is waited for, or "", since when, and how much of it the terminal shows. */
static char what[256];
static long long since;
static int shown;

static long long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void erase(void)
{
	if (shown > 0)
		fprintf(stderr, "\r%*s\r", shown, "");
	shown = 0;
}

static void *keep_showing(void *unused)
{
	for (;;) {
		usleep(500000);
		pthread_mutex_lock(&lock);
		if (*what && milliseconds() - since >= 1000) {
			erase();
			shown = fprintf(stderr, "flatiommu: %s: %lld s", what,
					(milliseconds() - since) / 1000);
		}
		pthread_mutex_unlock(&lock);
	}
	return unused;
}

/* With all signals blocked: they are for those who know what they would interrupt. */
static bool begin(void)
{
	sigset_t all, before;
	pthread_t thread;
	int err;

	if (!isatty(STDERR_FILENO))
		return false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, keep_showing, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return !err;
}

void progress(const char *fmt, ...)
{
	static bool begun;
	va_list args;

	if (!begun && !begin())
		return;
	begun = true;
	pthread_mutex_lock(&lock);
	erase();
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	since = milliseconds();
	pthread_mutex_unlock(&lock);
}

void progress_end(void)
{
	pthread_mutex_lock(&lock);
	erase();
	what[0] = 0;
	pthread_mutex_unlock(&lock);
}
