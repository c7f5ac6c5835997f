/* SPDX-License-Identifier: MIT */
/*
 * Capabilities in the initial user namespace, where drivers check them. For the library and the
 * command.
 */
#ifndef LIB_CAPABILITY_H
#define LIB_CAPABILITY_H

#include <linux/capability.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The inode of the initial user namespace, in every kernel. */
#define INITIAL_USER_NAMESPACE 0xeffffffdu

/*
 * Is this another user namespace than the initial one? Its root has all capabilities there, and
 * none that a driver checks.
 */
static inline bool in_user_namespace(void)
{
	struct stat st;

	return !stat("/proc/self/ns/user", &st) && st.st_ino != INITIAL_USER_NAMESPACE;
}

/* Does the process have the capability in the initial user namespace? */
static inline bool has_capability(unsigned int capability)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data) || in_user_namespace())
		return false;
	return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

#endif
