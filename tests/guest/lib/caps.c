// SPDX-License-Identifier: MIT
#include "caps.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534

static int get_caps(struct __user_cap_data_struct *data)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &header, data) ? -errno : 0;
}

static int set_caps(const struct __user_cap_data_struct *data)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

int become_nobody(void)
{
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	return 0;
}

int become_nobody_with(int capability)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	int ret;

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
		return -errno;
	ret = become_nobody();
	if (ret)
		return ret;
	data[CAP_TO_INDEX(capability)].permitted = CAP_TO_MASK(capability);
	data[CAP_TO_INDEX(capability)].effective = CAP_TO_MASK(capability);
	return set_caps(data);
}

int drop_capability(int capability)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	int ret = get_caps(data);

	if (ret)
		return ret;
	data[CAP_TO_INDEX(capability)].permitted &= ~CAP_TO_MASK(capability);
	data[CAP_TO_INDEX(capability)].effective &= ~CAP_TO_MASK(capability);
	data[CAP_TO_INDEX(capability)].inheritable &= ~CAP_TO_MASK(capability);
	return set_caps(data);
}
