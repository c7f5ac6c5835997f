// SPDX-License-Identifier: MIT
/*
 * answers.so, for LD_PRELOAD into flatiommu doctor: answers that the machine does not give on demand. ANSWERS names one:
 * aarch64, by uname(); no-context, no-eventfd, no-irq, few-irqs, silent, mute, other-ids, no-bar, no-reset, stop, by what
 * doctor --run calls.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/utsname.h>
#include <unistd.h>

static bool asked(const char *answer)
{
	const char *asked_for = getenv("ANSWERS");

	return asked_for && !strcmp(asked_for, answer);
}

static int fail(int err)
{
	errno = err;
	return -1;
}

int uname(struct utsname *uts)
{
	int ret = (int)syscall(SYS_uname, uts);

	if (asked("aarch64"))
		strcpy(uts->machine, "aarch64");
	return ret;
}

int madvise(void *address, size_t length, int advice)
{
	if (asked("no-context") && advice == MADV_WIPEONFORK)
		return fail(EINVAL);
	return (int)syscall(SYS_madvise, address, length, advice);
}

int eventfd(unsigned int count, int flags)
{
	return asked("no-eventfd") ? fail(EMFILE) : (int)syscall(SYS_eventfd2, count, flags);
}

ssize_t pread(int fd, void *buf, size_t size, off_t offset)
{
	/* config space is behind all BARs, each of which has 2^40 bytes in the device's file */
	bool ids = offset >> 40 && !(offset & 0xffffffffff) && size == 2;

	if (asked("mute") && ids)
		return fail(EIO);
	if (asked("other-ids") && offset >> 40) {
		memset(buf, 0x12, size);
		return (ssize_t)size;
	}
	return syscall(SYS_pread64, fd, buf, size, offset);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	if (asked("no-bar") && fd >= 0 && flags == MAP_SHARED && protection == (PROT_READ | PROT_WRITE)) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

static int set_irqs(const struct vfio_irq_set *set)
{
	if (set->flags == (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)) {
		if (asked("no-irq"))
			return EIO;
		if (asked("few-irqs"))
			return ENOSPC;
	}
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	struct vfio_irq_set *set;
	va_list arguments;
	void *argument;
	int err = 0;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == VFIO_DEVICE_SET_IRQS) {
		set = argument;
		err = set_irqs(set);
		/* a vector is signalled, and nobody hears it */
		if (asked("silent") && set->count && set->flags == (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER))
			return 0;
	} else if (request == VFIO_DEVICE_RESET) {
		if (asked("no-reset"))
			err = EIO;
		if (asked("stop"))
			raise(SIGSTOP);
	}
	return err ? fail(err) : (int)syscall(SYS_ioctl, fd, request, argument);
}
