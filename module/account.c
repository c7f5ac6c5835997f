// SPDX-License-Identifier: GPL-2.0-only
/* Memory that counts against RLIMIT_MEMLOCK of a program. */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>

#include "account.h"

/* @pages more of the caller's address space. Returns 0, -ENOMEM or -EINTR. */
int flat_account(struct mm_struct *mm, unsigned long pages)
{
	int ret;

	if (mmap_write_lock_killable(mm))
		return -EINTR;
	ret = __account_locked_vm(mm, pages, true, current, capable(CAP_IPC_LOCK));
	mmap_write_unlock(mm);
	return ret;
}

/* The end of what was accounted to @mm, to which the caller has a reference. */
void flat_unaccount(struct mm_struct *mm, unsigned long pages)
{
	/* It has nothing to account any more once its last task is gone. */
	if (!pages || !mmget_not_zero(mm))
		return;
	mmap_write_lock(mm);
	__account_locked_vm(mm, pages, false, current, false);
	mmap_write_unlock(mm);
	mmput(mm);
}
