/* SPDX-License-Identifier: MIT */
/*
 * One lock for all variables of this library. Signals are blocked while it is held, because a
 * handler may call an interposed function. Code under the lock does not allocate, wait for another
 * lock, or end the thread.
 */
#ifndef PRELOAD_LOCK_H
#define PRELOAD_LOCK_H

#include <signal.h>

void lock(sigset_t *before);
void unlock(const sigset_t *before);

/* Returns the ID of this process, mostly without asking the kernel. The lock is not needed. */
pid_t own_pid(void);
/*
 * Returns a number that is not the one of a process from which this one was forked. IDs may be
 * equal: the first process of each PID namespace has 1. The lock is not needed.
 */
unsigned int own_number(void);

#endif
