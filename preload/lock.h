/* SPDX-License-Identifier: MIT */
/*
 * One lock for all that is written to. Signals wait while it is held, as a handler may call what is
 * interposed; nothing under it allocates, waits for another lock, or ends the thread.
 */
#ifndef PRELOAD_LOCK_H
#define PRELOAD_LOCK_H

#include <signal.h>

void lock(sigset_t *before);
void unlock(const sigset_t *before);

#endif
