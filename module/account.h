/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_ACCOUNT_H
#define FLATIOMMU_ACCOUNT_H

#include <linux/mm_types.h>
#include <linux/rwsem.h>
#include <linux/types.h>

/* In place of mmap_write_trylock(), which newer kernels do not have. Callers change no mapping. */
static inline bool flat_try_lock_mm(struct mm_struct *mm)
{
	return down_write_trylock(&mm->mmap_lock);
}

static inline void flat_unlock_mm(struct mm_struct *mm)
{
	up_write(&mm->mmap_lock);
}

int flat_account(struct mm_struct *mm, unsigned long pages);
void flat_unaccount(struct mm_struct *mm, unsigned long pages);
bool flat_try_unaccount(struct mm_struct *mm, unsigned long pages);

#endif /* FLATIOMMU_ACCOUNT_H */
