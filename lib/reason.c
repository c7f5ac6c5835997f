// SPDX-License-Identifier: MIT
/*
 * Reasons: messages that say why a call failed.
 *
 * fail() stores its line in the thread. When the program's call ends with an error, the line
 * becomes the thread's reason in the context. If the call succeeds, it becomes a note in the log.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum said {
	NOTHING,
	FAILURE,
	NO,		/* say_no(): an error that answers a question */
};

/*
 * A thread in which a call failed, or which opened a context. The struct outlives the thread while
 * a context has a reason of it.
 */
struct thread {
	atomic_uint users;	/* the thread, and the reasons */
	atomic_bool ended;
	enum said said;
	char line[REASON_SIZE];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool has_key;

static void put_thread(struct thread *thread)
{
	if (atomic_fetch_sub(&thread->users, 1) == 1)
		free(thread);
}

static void end_thread(void *arg)
{
	struct thread *thread = arg;

	atomic_store(&thread->ended, true);
	put_thread(thread);
}

static void make_key(void)
{
	has_key = !pthread_key_create(&key, end_thread);
}

/* Returns NULL if this thread has no struct yet. */
static struct thread *known_thread(void)
{
	pthread_once(&once, make_key);
	return has_key ? pthread_getspecific(key) : NULL;
}

/* Makes this thread's struct if there is none. Returns NULL if there is no memory. */
static struct thread *this_thread(void)
{
	struct thread *thread = known_thread();

	if (thread || !has_key)
		return thread;
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return NULL;
	atomic_init(&thread->users, 1);
	if (!pthread_setspecific(key, thread))
		return thread;
	free(thread);
	return NULL;
}

/* Frees reasons of threads that have ended, so that the list is not longer than the threads. */
static void forget_ended(struct flatiommu *flat)
{
	struct reason **link = &flat->reasons.next;

	while (*link) {
		struct reason *reason = *link;

		if (!atomic_load(&reason->thread->ended)) {
			link = &reason->next;
			continue;
		}
		*link = reason->next;
		put_thread(reason->thread);
		free(reason);
	}
}

static struct reason *find_reason(struct flatiommu *flat, const struct thread *thread)
{
	struct reason *reason;

	for (reason = &flat->reasons; reason; reason = reason->next)
		if (reason->thread == thread)
			break;
	return reason;
}

static void keep_reason(struct flatiommu *flat, struct thread *thread, const char *line)
{
	struct reason *reason;

	pthread_mutex_lock(&flat->reason_lock);
	reason = find_reason(flat, thread);
	if (!reason) {
		forget_ended(flat);
		reason = calloc(1, sizeof(*reason));
		if (reason) {
			reason->thread = thread;
			atomic_fetch_add(&thread->users, 1);
			reason->next = flat->reasons.next;
			flat->reasons.next = reason;
		}
	}
	if (reason)
		strcpy(reason->line, line);
	pthread_mutex_unlock(&flat->reason_lock);
}

static void tell(const struct flatiommu *flat, enum flatiommu_log level, const char *line)
{
	if (flat->log)
		flat->log(flat->log_arg, level, line);
}

void end_reasons(struct flatiommu *flat, bool failed, int err)
{
	struct thread *thread = failed ? this_thread() : known_thread();
	enum said said;

	if (!thread)
		return;
	said = thread->said;
	thread->said = NOTHING;
	if (failed && !said)
		snprintf(thread->line, sizeof(thread->line), "%s", ERRNO(err));
	if (failed)
		keep_reason(flat, thread, thread->line);
	if (failed || said)
		tell(flat, failed && said != NO ? FLATIOMMU_LOG_ERROR : FLATIOMMU_LOG_NOTE,
		     thread->line);
}

/* Stores the line. An earlier line of this call becomes a note in the log. */
static int say(struct flatiommu *flat, int err, enum said what, const char *format, va_list args)
{
	struct thread *thread = this_thread();
	char line[REASON_SIZE];

	vsnprintf(line, sizeof(line), format, args);
	if (!thread) {
		tell(flat, FLATIOMMU_LOG_ERROR, line);
		return err;
	}
	if (thread->said)
		tell(flat, FLATIOMMU_LOG_NOTE, thread->line);
	strcpy(thread->line, line);
	thread->said = what;
	return err;
}

int fail(struct flatiommu *flat, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(flat, err, FAILURE, format, args);
	va_end(args);
	return err;
}

int say_no(struct flatiommu *flat, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(flat, err, NO, format, args);
	va_end(args);
	return err;
}

const char *latest_reason(void)
{
	const struct thread *thread = known_thread();

	return thread ? thread->line : "";
}

const char *flatiommu_reason(struct flatiommu *flat)
{
	const struct thread *thread = known_thread();
	const struct reason *reason = NULL;

	if (!flat)
		return "no context";
	if (!is_ours(flat))
		return "the context belongs to the process that this one was forked from. Cure: "
		       "open a context in the child, or fork before opening one";
	pthread_mutex_lock(&flat->reason_lock);
	if (thread)
		reason = find_reason(flat, thread);
	pthread_mutex_unlock(&flat->reason_lock);
	/* Only this thread writes to it. */
	return reason ? reason->line : "";
}

int begin_reasons(struct flatiommu *flat)
{
	struct thread *thread = this_thread();

	if (!thread)
		return -ENOMEM;
	atomic_fetch_add(&thread->users, 1);
	flat->reasons.thread = thread;
	return 0;
}

/*
 * Frees this thread's struct, unless another context has a reason of it. end_thread() does not run
 * in the main thread.
 */
static void forget_this_thread(void)
{
	struct thread *thread = known_thread();

	if (!thread || atomic_load(&thread->users) > 1)
		return;
	pthread_setspecific(key, NULL);
	free(thread);
}

void free_reasons(struct flatiommu *flat)
{
	struct reason *reason = flat->reasons.next, *next;

	for (; reason; reason = next) {
		next = reason->next;
		put_thread(reason->thread);
		free(reason);
	}
	put_thread(flat->reasons.thread);
	forget_this_thread();
}

void flatiommu_set_log(struct flatiommu *flat,
		       void (*log)(void *arg, enum flatiommu_log level, const char *line),
		       void *arg)
{
	if (!flat || !is_ours(flat))
		return;
	flat->log_arg = arg;
	flat->log = log;
}

const char *errno_text(int err, char *text, size_t size)
{
	return strerror_r(-err, text, size);
}
