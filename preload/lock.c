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
static _Atomic pid_t *self;	/* its ID, in a page that is 0 in a child; or NULL */
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
	owner = own_pid();
}

pid_t own_pid(void)
{
	pid_t pid = self ? *self : 0;

	if (!pid) {
		pid = getpid();
		if (self)
			*self = pid;
	}
	return pid;
}

/* Without such a page own_pid() asks the kernel each time. */
static void make_self(void)
{
	const size_t size = 1ul << node_page_shift();
	void *page = raw_memory(size);

	if (page && raw(SYS_madvise, page, size, MADV_WIPEONFORK)) {
		raw_free(page, size);
		page = NULL;
	}
	self = page;
}

void lock(sigset_t *before)
{
	sigset_t all;
	int err = errno;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, before);
	pthread_mutex_lock(&mutex);
	/* clone() and _Fork() call no fork handlers */
	if (owner != own_pid())
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
	make_self();
	owner = own_pid();
	pthread_atfork(before, after, after_in_child);
}
