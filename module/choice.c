// SPDX-License-Identifier: GPL-2.0-only
/* Module parameters that decide what happens to memory that a function may still write to. */
#include <linux/capability.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "choice.h"

static int set_choice(const char *val, const struct kernel_param *kp)
{
	struct flat_choice *choice = kp->arg;
	int i;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	i = sysfs_match_string(choice->names, val);
	if (i < 0)
		return i;
	WRITE_ONCE(choice->other, i);
	return 0;
}

static int get_choice(char *buf, const struct kernel_param *kp)
{
	const struct flat_choice *choice = kp->arg;

	return sysfs_emit(buf, "%s\n", choice->names[flat_chose_other(choice)]);
}

const struct kernel_param_ops flat_choice_ops = {
	.set = set_choice,
	.get = get_choice,
};
