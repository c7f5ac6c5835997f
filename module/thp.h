/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_THP_H
#define FLATIOMMU_THP_H

#include <linux/mm.h>

/* Pages of a transparent huge page that one entry of a page table maps. */
#define FLAT_THP_PAGES (PMD_SIZE / PAGE_SIZE)

bool flat_thp_is_pinned(unsigned long addr, struct page *page);

#endif /* FLATIOMMU_THP_H */
