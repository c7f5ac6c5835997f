// SPDX-License-Identifier: MIT
#include "lock.h"

#include <pthread.h>
#include <stdbool.h>

#include "files.h"
#include "node.h"
#include "pins.h"
#include "raw.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pid_t owner;		/* the process whose pins these are */
static sigset_t before_fork;

/*
 * A child has copies of private memory: fork() copies pinned pages at once, and the parent keeps
 * the pages that devices know. So the parent's addresses are not the child's, and the child pins
 * its own memory when it reads pagemap. Shared memory has the same frames in both. The parent's
 * node stays open in the child: a child that goes on as a daemon has the parent's files of devices,
 * too, and needs the parent's pins.
 */
static void become_child(void)
{
	pins_forget();
	node_forget();
	owner = getpid();
}

void lock(sigset_t *before)
{
	sigset_t all;
	int err = errno;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, before);
	pthread_mutex_lock(&mutex);
	/* clone() and _Fork() call no fork handlers */
	if (owner != getpid())
		become_child();
	errno = err;
}

void unlock(const sigset_t *before)
{
	int err = errno;

	pthread_mutex_unlock(&mutex);
	pthread_sigmask(SIG_SETMASK, before, NULL);
	errno = err;
}

static void before(void)
{
	sigset_t set;

	lock(&set);
	before_fork = set;
}

static void after(void)
{
	sigset_t set = before_fork;

	unlock(&set);
}

static void after_in_child(void)
{
	pthread_mutex_init(&mutex, NULL);
	become_child();
	pthread_sigmask(SIG_SETMASK, &before_fork, NULL);
}

__attribute__((constructor)) static void begin(void)
{
	owner = getpid();
	pthread_atfork(before, after, after_in_child);
}
