// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module parameters that decide what happens to memory that a function may still write to. An
 * option of a claim chooses the same for one function: see flat_domain_holds() and
 * flat_domain_fences().
 */
#include <linux/capability.h>
#include <linux/kernel.h>
#include <linux/module.h>
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

struct flat_choice flat_on_unmap = { { "free", "hold" } };

module_param_cb(on_unmap, &flat_choice_ops, &flat_on_unmap, 0644);
MODULE_PARM_DESC(on_unmap, "what happens to memory that a program unmaps or unpins: free (the default), or hold, until its functions cannot be writing to it any more");

struct flat_choice flat_on_refusal = { { "warn", "fence" } };

module_param_cb(on_refusal, &flat_choice_ops, &flat_on_refusal, 0644);
MODULE_PARM_DESC(on_refusal, "when a map is refused or fails: warn (the default), or fence, which also clears bus mastering of the functions that it was for");
