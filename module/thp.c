// SPDX-License-Identifier: GPL-2.0-only
/* Does the page pin of one page keep a whole transparent huge page in place? */
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched.h>

#include "thp.h"

/*
 * Returns the entry of the page table that maps the huge page at @addr, or one that maps nothing.
 * Interrupts are off. This keeps tables from being freed, but not entries from being cleared, so
 * each entry is read once.
 */
static pmd_t entry_of(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgdp = pgd_offset(mm, addr), pgd = READ_ONCE(*pgdp);
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;

	if (!pgd_present(pgd))
		return __pmd(0);
	p4dp = p4d_offset_lockless(pgdp, pgd, addr);
	p4d = READ_ONCE(*p4dp);
	if (!p4d_present(p4d))
		return __pmd(0);
	pudp = pud_offset_lockless(p4dp, p4d, addr);
	pud = READ_ONCE(*pudp);
	/* A page of 1 GiB has no table below it. */
	if (!pud_present(pud) || pud_leaf(pud))
		return __pmd(0);
	return READ_ONCE(*pmd_offset_lockless(pudp, pud, addr));
}

/**
 * flat_thp_is_pinned() - does the page pin of a page keep a whole transparent huge page in place?
 * @addr:	in the caller's address space, at a multiple of PMD_SIZE
 * @page:	the page that pin_user_pages_fast() has just pinned there, with FOLL_WRITE
 *
 * If so, @page is the first one of the huge page, and its page pin keeps all FLAT_THP_PAGES pages
 * at @addr in place, as FLAT_THP_PAGES page pins would:
 *
 * - One entry of the page table, read at one moment, maps all of the folio that @page begins, in
 *   order. So each page of the range was, at that moment, the page that a page pin of its own would
 *   get.
 * - The page pin was there at that moment, and a page pin of one page of a folio counts on the
 *   folio (_pincount, _refcount). The kernel checks these counts before it changes a folio: a split
 *   of the folio, migration, reclaim, KSM and khugepaged give up, and fork() copies
 *   (folio_maybe_dma_pinned()).
 * - Code that removes a folio's entry first invalidates it, and looks for page pins after that. A
 *   page pin through the entry was made before it was invalidated: gup_fast() reads the entry again
 *   after its page pin, and otherwise the page pin is made under the lock of the page table. Memory
 *   that is mapped by small entries is not mapped by a large one later without being copied. So
 *   that code finds the page pin, and gives up.
 * - The entry lets the program write, and the memory is anonymous: so each page is the program's
 *   alone (PageAnonExclusive), and its next write to any of them goes to the page that is pinned.
 *
 * If the program changes a part of the range afterwards, by MADV_DONTNEED, mremap() or mprotect(),
 * the entry is split, but not the folio.
 *
 * Read-only memory, memory of files (shmem) and smaller folios are pinned page by page.
 */
bool flat_thp_is_pinned(unsigned long addr, struct page *page)
{
	struct folio *folio = page_folio(page);
	unsigned long flags;
	pmd_t pmd;

	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) || !PageHead(page) ||
	    !folio_test_anon(folio) || folio_nr_pages(folio) != FLAT_THP_PAGES)
		return false;
	local_irq_save(flags);
	pmd = entry_of(current->mm, addr);
	local_irq_restore(flags);
	return pmd_trans_huge(pmd) && pmd_access_permitted(pmd, true) &&
	       pmd_pfn(pmd) == page_to_pfn(page);
}
