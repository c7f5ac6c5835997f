// SPDX-License-Identifier: MIT
/* A thread prints the progress: a timer's signal would interrupt system calls that wait. */
#include "progress.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "wait.h"

struct task {
	char what[128];		/* "": none */
	long long since;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* The lock protects these. @shown: characters that the terminal shows. */
static struct task command, step;
static int shown;

static void erase(void)
{
	if (shown > 0)
		fprintf(stderr, "\r%*s\r", shown, "");
	shown = 0;
}

static void show(void)
{
	const struct task *task = *step.what ? &step : &command;
	long long seconds = (milliseconds() - task->since) / 1000;

	erase();
	if (*task->what && seconds)
		shown = fprintf(stderr, "flatiommu: %s%s%s: %lld s", command.what,
				task == &step ? ": " : "", step.what, seconds);
}

static void *keep_showing(void *unused)
{
	for (;;) {
		usleep(500000);
		pthread_mutex_lock(&lock);
		show();
		pthread_mutex_unlock(&lock);
	}
	return unused;
}

static void set(struct task *task, const char *what)
{
	pthread_mutex_lock(&lock);
	erase();
	snprintf(task->what, sizeof(task->what), "%s", what);
	task->since = milliseconds();
	pthread_mutex_unlock(&lock);
}

/* The thread blocks all signals: the command's own thread must get them. */
void progress_begin(const char *name)
{
	sigset_t all, before;
	pthread_t thread;

	set(&command, name);
	if (!isatty(STDERR_FILENO))
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* without the thread there is no progress line */
	pthread_create(&thread, NULL, keep_showing, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void progress_end(void)
{
	set(&step, "");
	set(&command, "");
}

void progress(const char *fmt, ...)
{
	char what[sizeof(step.what)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	set(&step, what);
}

void progress_done(void)
{
	set(&step, "");
}
