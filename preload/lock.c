// SPDX-License-Identifier: MIT
#include "lock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "files.h"
#include "node.h"
#include "pins.h"
#include "raw.h"

/**
 * struct own - variables that each process has for itself: their page is all 0 in a forked child
 * @number:	own_number(), or 0
 * @pid:	ID of the process, or 0
 * @mutex:	the lock. 0 is an unlocked mutex, also if a thread of the parent held the parent's
 */
struct own {
	_Atomic unsigned int number;
	_Atomic pid_t pid;
	pthread_mutex_t mutex;
};

static struct own *own;		/* NULL: the kernel has no such pages */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* own_number() and ID of the process whose pins these are. */
static unsigned int owner;
static pid_t owner_pid;
static _Atomic unsigned int last_number;	/* of this process and those that it was forked from */

/*
 * A child has copies of private memory: fork() copies pinned pages at once, and the parent keeps
 * the pages that devices know. So the parent's addresses are not the child's, and the child pins
 * its own memory when it reads pagemap. Shared memory has the same frames in both. If another
 * thread of the parent was changing the tables, the child at most loses some of its memory. The
 * parent's node stays open in the child: a child that goes on as a daemon has the parent's files of
 * devices, too, and needs the parent's pins.
 */
static void become_child(void)
{
	pins_forget();
	node_forget(owner_pid);
	owner = own_number();
	owner_pid = own_pid();
}

pid_t own_pid(void)
{
	pid_t pid = own ? own->pid : 0;

	if (!pid) {
		pid = getpid();
		if (own)
			own->pid = pid;
	}
	return pid;
}

unsigned int own_number(void)
{
	unsigned int number = own ? own->number : (unsigned int)getpid(), next;

	if (number)
		return number;
	next = ++last_number;
	/* If another thread was faster, @number becomes its value. */
	return atomic_compare_exchange_strong(&own->number, &number, next) ? next : number;
}

/* Without such a page own_pid() asks the kernel each time, and is own_number(), too. */
static void make_own(void)
{
	const size_t size = 1ul << node_page_shift();
	void *page = raw_memory(size);

	if (page && raw(SYS_madvise, page, size, MADV_WIPEONFORK)) {
		raw_free(page, size);
		page = NULL;
	}
	own = page;
}

void lock(sigset_t *before)
{
	sigset_t all;
	int err = errno;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, before);
	if (!own && owner != own_number())
		pthread_mutex_init(&mutex, NULL);
	pthread_mutex_lock(own ? &own->mutex : &mutex);
	/* clone() and _Fork() call no fork handlers. */
	if (owner != own_number())
		become_child();
	errno = err;
}

void unlock(const sigset_t *before)
{
	int err = errno;

	pthread_mutex_unlock(own ? &own->mutex : &mutex);
	pthread_sigmask(SIG_SETMASK, before, NULL);
	errno = err;
}

static void after_in_child(void)
{
	sigset_t before;

	lock(&before);
	unlock(&before);
}

__attribute__((constructor)) static void begin(void)
{
	owner = own_number();
	owner_pid = own_pid();
	make_own();
	/* The number stays the same for what was called before. */
	if (own)
		own->number = owner;
	last_number = owner;
	/*
	 * A fork does not take this lock: malloc may take its own locks in a fork. Another thread,
	 * which has one of those, may unmap memory and so wait for this lock.
	 */
	pthread_atfork(NULL, NULL, after_in_child);
}
