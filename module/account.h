/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_ACCOUNT_H
#define FLATIOMMU_ACCOUNT_H

struct mm_struct;

int flat_account(struct mm_struct *mm, unsigned long pages);
void flat_unaccount(struct mm_struct *mm, unsigned long pages);

#endif /* FLATIOMMU_ACCOUNT_H */
