// SPDX-License-Identifier: GPL-2.0-only
/* When one pin holds a whole transparent huge page. */
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched.h>

#include "thp.h"

/* The entry that maps the huge page at @addr, or one that maps none. Interrupts are off. */
static pmd_t entry_of(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	if (!pgd_present(READ_ONCE(*pgd)))
		return __pmd(0);
	p4d = p4d_offset(pgd, addr);
	if (!p4d_present(READ_ONCE(*p4d)))
		return __pmd(0);
	pud = pud_offset(p4d, addr);
	/* One of 1 GiB has no table below it. */
	if (!pud_present(READ_ONCE(*pud)) || pud_leaf(READ_ONCE(*pud)))
		return __pmd(0);
	return READ_ONCE(*pmd_offset(pud, addr));
}

/**
 * flat_thp_is_mapped() - is there a whole transparent huge page that may be written to?
 * @addr:	in the caller's address space, at a multiple of PMD_SIZE
 * @page:	what the caller has pinned there, to be written to, or NULL to ask before that
 *
 * If so, and @page is given, then @page is the first one of the huge page, and the pin of @page
 * holds all FLAT_THP_PAGES pages at @addr, as FLAT_THP_PAGES pins would:
 *
 * - One entry of the page table, read at one moment, maps all of the folio that @page begins, in
 *   order. So each page of the range was, at that moment, the page that a pin of its own would get.
 * - The pin was there at that moment, and a pin of one page of a folio counts on the folio
 *   (_pincount, _refcount), which is what whoever wants to do something to a page looks at: a split
 *   of the folio, migration, reclaim, KSM and khugepaged give up, and fork() copies
 *   (folio_maybe_dma_pinned()). They clear the entry, or copy it under its lock, before they look.
 *   So either this read finds the entry cleared, or they find the pin; smp_mb() is for that, as in
 *   the kernel's own gup_fast().
 * - The entry lets the program write, and the memory is anonymous: so each page is the program's
 *   alone (PageAnonExclusive), and its next write to any of them goes to the page that is pinned.
 *
 * What the program does to a part of the range afterwards, such as MADV_DONTNEED, mremap() or
 * mprotect(), cuts the entry in pieces, but not the folio.
 *
 * Memory that may only be read, of files (shmem) or of smaller folios is pinned page by page.
 */
bool flat_thp_is_mapped(unsigned long addr, struct page *page)
{
	unsigned long flags;
	pmd_t pmd;

	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		return false;
	smp_mb();	/* see above */
	/* Page tables are not freed while a processor has interrupts off, as for gup_fast(). */
	local_irq_save(flags);
	pmd = entry_of(current->mm, addr);
	local_irq_restore(flags);
	if (!pmd_present(pmd) || !pmd_trans_huge(pmd) || !pmd_write(pmd))
		return false;
	return !page || (pmd_pfn(pmd) == page_to_pfn(page) && PageHead(page) &&
			 folio_test_anon(page_folio(page)) &&
			 folio_nr_pages(page_folio(page)) == FLAT_THP_PAGES);
}
