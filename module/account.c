// SPDX-License-Identifier: GPL-2.0-only
/* Memory that counts against RLIMIT_MEMLOCK of a program. */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>

#include "account.h"

/* Accounts @pages more to @mm, the caller's address space. Returns 0, -ENOMEM or -EINTR. */
int flat_account(struct mm_struct *mm, unsigned long pages)
{
	int ret;

	if (mmap_write_lock_killable(mm))
		return -EINTR;
	ret = __account_locked_vm(mm, pages, true, current, capable(CAP_IPC_LOCK));
	mmap_write_unlock(mm);
	return ret;
}

/* Undoes flat_account(). The caller has a reference to @mm, maybe to the struct only. */
void flat_unaccount(struct mm_struct *mm, unsigned long pages)
{
	/* Once its last task is gone, nothing is accounted to an address space. */
	if (!pages || !mmget_not_zero(mm))
		return;
	mmap_write_lock(mm);
	__account_locked_vm(mm, pages, false, current, false);
	mmap_write_unlock(mm);
	mmput(mm);
}
