// SPDX-License-Identifier: MIT
/*
 * SIGBUS of registers that the kernel has taken away, as an error of the call that used them. The
 * signal comes in the thread that accesses them, so that thread's own variable says where to go on.
 * The handler takes no lock and allocates nothing: the thread may be anywhere in the program.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>

#include "internal.h"

/* A call of flatiommu_sigbus_catch() that has not returned. */
struct guard {
	struct guard *outer;
	struct flatiommu_device *device;
	sigjmp_buf back;
};

/* Where a thread is first to touch it, memory for it must be there: not in a signal handler. */
static __attribute__((tls_model("initial-exec"))) _Thread_local struct guard *volatile guard;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool installed;
static struct sigaction earlier;	/* as it was before; constant once @installed */
static atomic_bool spent;		/* of SA_RESETHAND, which is for one signal */

/* It comes from a process, or is of memory that was not accessed: nothing is there to do again. */
static bool is_sent(const siginfo_t *info)
{
	return info->si_code <= 0 || info->si_code == BUS_MCEERR_AO;
}

/* The program ends with what it would have ended with: as the access is made again, or at once. */
static void die(int number, const siginfo_t *info)
{
	const struct sigaction usual = { .sa_handler = SIG_DFL };

	sigaction(number, &usual, NULL);
	if (is_sent(info))
		raise(number);
}

static void pass_on(int number, siginfo_t *info, void *context)
{
	if (earlier.sa_handler == SIG_IGN && is_sent(info))
		return;
	if (earlier.sa_handler == SIG_IGN || earlier.sa_handler == SIG_DFL ||
	    (earlier.sa_flags & SA_RESETHAND && atomic_exchange(&spent, true)))
		die(number, info);
	else if (earlier.sa_flags & SA_SIGINFO)
		earlier.sa_sigaction(number, info, context);
	else
		earlier.sa_handler(number);
}

static void handle(int number, siginfo_t *info, void *context)
{
	struct guard *here, *inner;

	for (here = is_sent(info) ? NULL : guard; here; here = here->outer) {
		if (!is_in_view(here->device, (uintptr_t)info->si_addr))
			continue;
		/* Calls inside of it, for other devices, do not come to their end. */
		for (inner = guard; inner != here; inner = inner->outer)
			atomic_fetch_sub(&inner->device->catching, 1);
		guard = here->outer;
		/* Blocked is what was; sigsetjmp() would be a system call each time. */
		pthread_sigmask(SIG_SETMASK, &((ucontext_t *)context)->uc_sigmask, NULL);
		siglongjmp(here->back, 1);
	}
	pass_on(number, info, context);
}

/* The earlier handler finds what it has asked for: its mask, its stack. */
static int install(void)
{
	struct sigaction action = { .sa_sigaction = handle };

	if (sigaction(SIGBUS, NULL, &earlier))
		return -errno;
	action.sa_mask = earlier.sa_mask;
	action.sa_flags = SA_SIGINFO | (earlier.sa_flags & (SA_ONSTACK | SA_NODEFER | SA_RESTART));
	return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}

int flatiommu_sigbus_install(void)
{
	int err = 0;

	pthread_mutex_lock(&lock);
	if (!atomic_load(&installed)) {
		err = install();
		atomic_store(&installed, !err);
	}
	pthread_mutex_unlock(&lock);
	return err;
}

/* Whether it came to its end. */
static bool run(struct flatiommu_device *device, int (*access)(void *arg), void *arg, int *result)
{
	struct guard here = { .outer = guard, .device = device };

	if (sigsetjmp(here.back, 0))
		return false;
	guard = &here;
	*result = access(arg);
	guard = here.outer;
	return true;
}

static int check(struct flatiommu_device *device, int (*access)(void *arg))
{
	if (!access)
		return fail(device->flat, -EINVAL, "%s: NULL is no function", device->name);
	if (!atomic_load(&installed))
		return fail(device->flat, -EOPNOTSUPP, "%s: nothing catches SIGBUS. Cure: "
			    "flatiommu_sigbus_install()", device->name);
	return 0;
}

static int say_dead(struct flatiommu_device *device)
{
	return fail(device->flat, -ENODEV, "%s: its registers are not there: its memory is off "
		    "(command register), or it is asleep or gone", device->name);
}

/* A result of @access is no failure of this call, and changes no reason. */
int flatiommu_sigbus_catch(struct flatiommu_device *device, int (*access)(void *arg), void *arg)
{
	int err = CALL_DEVICE(device, check(device, access)), cancel, result = 0;
	bool done;

	if (err)
		return err;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	atomic_fetch_add(&device->catching, 1);
	done = run(device, access, arg, &result);
	atomic_fetch_sub(&device->catching, 1);
	pthread_setcancelstate(cancel, NULL);
	return done ? result : CALL_DEVICE(device, say_dead(device));
}
