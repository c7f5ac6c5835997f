// SPDX-License-Identifier: GPL-2.0-only
/* Counts memory against RLIMIT_MEMLOCK of a program. */
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
	ret = __account_locked_vm(mm, pages, true, current, false);
	/* Ask only above the limit: capable() costs more than the rest. */
	if (ret && capable(CAP_IPC_LOCK))
		ret = __account_locked_vm(mm, pages, true, current, true);
	mmap_write_unlock(mm);
	return ret;
}

/* Undoes flat_account(). The caller has a reference to @mm, maybe to the struct only. */
void flat_unaccount(struct mm_struct *mm, unsigned long pages)
{
	/* An address space without a task has no limit any more. */
	if (!pages || !mmget_not_zero(mm))
		return;
	mmap_write_lock(mm);
	__account_locked_vm(mm, pages, false, current, false);
	mmap_write_unlock(mm);
	/* The end of an address space may need locks of VFIO, which the caller may hold. */
	mmput_async(mm);
}

/* As flat_unaccount(), but does not wait: returns false, and does nothing, if @mm is locked. */
bool flat_try_unaccount(struct mm_struct *mm, unsigned long pages)
{
	bool locked;

	if (!pages || !mmget_not_zero(mm))
		return true;
	locked = flat_try_lock_mm(mm);
	if (locked) {
		__account_locked_vm(mm, pages, false, current, false);
		flat_unlock_mm(mm);
	}
	/* See flat_unaccount(). */
	mmput_async(mm);
	return locked;
}
