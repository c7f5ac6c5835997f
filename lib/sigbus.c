// SPDX-License-Identifier: MIT
/*
 * An access to registers that the kernel has taken away raises SIGBUS. flatiommu_sigbus_catch()
 * makes an error of it. The signal comes in the thread of the access, so a variable of that thread
 * says where to go on. The handler takes no lock and allocates nothing, because the thread may be
 * anywhere in the program.
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

/*
 * initial-exec: each thread has memory for the variable when it begins. With other models the first
 * access may allocate it, and that may be in the signal handler.
 */
static __attribute__((tls_model("initial-exec"))) _Thread_local struct guard *volatile guard;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool installed;
static struct sigaction earlier;	/* the program's action; constant once @installed */
static atomic_bool spent;		/* @earlier has SA_RESETHAND, and has had its one signal */

/* Is it from a process, or about memory that was not accessed? Then no access is made again. */
static bool is_sent(const siginfo_t *info)
{
	return info->si_code <= 0 || info->si_code == BUS_MCEERR_AO;
}

/* Ends the program as without the handler: the access is made again, or the signal sent again. */
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
		/* The calls inside of @here, for other devices, do not return either. */
		for (inner = guard; inner != here; inner = inner->outer)
			atomic_fetch_sub(&inner->device->catching, 1);
		guard = here->outer;
		/* Restore the mask. sigsetjmp() does not save it: that is a system call. */
		pthread_sigmask(SIG_SETMASK, &((ucontext_t *)context)->uc_sigmask, NULL);
		siglongjmp(here->back, 1);
	}
	pass_on(number, info, context);
}

/* The earlier handler runs with the mask and on the stack that it has asked for. */
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

/* Returns true if @access has returned. */
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

/* An error that @access returns is no failure of this call, and changes no reason. */
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
