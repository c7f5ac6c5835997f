// SPDX-License-Identifier: MIT
/* Capabilities as drivers check them: in the initial user namespace. */
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

/* The inode of the initial user namespace, in every kernel. */
#define INITIAL_USER_NAMESPACE 0xeffffffdu

/* Root of another user namespace has all capabilities there, and none that a driver checks. */
bool in_user_namespace(void)
{
	struct stat st;

	return !stat("/proc/self/ns/user", &st) && st.st_ino != INITIAL_USER_NAMESPACE;
}

bool has_capability(unsigned int capability)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data) || in_user_namespace())
		return false;
	return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

const char *why_no_rawio(void)
{
	if (in_user_namespace())
		return "this is a user namespace (LXC, rootless Podman), and CAP_SYS_RAWIO counts "
		       "only outside of it. Cure: run it outside, or import a device that a "
		       "process outside has opened (flatiommu_device_import)";
	if (has_capability(CAP_SYS_RAWIO))
		return NULL;
	if (!geteuid())
		return "root has no CAP_SYS_RAWIO here. Cure: give it to this container or service "
		       "(--cap-add SYS_RAWIO, CapabilityBoundingSet=)";
	return "this user has no CAP_SYS_RAWIO. Cure: run it as root, or with CAP_SYS_RAWIO "
	       "(AmbientCapabilities= of a service)";
}
