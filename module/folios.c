// SPDX-License-Identifier: GPL-2.0-only
/* References to the memory of an extent, for on_unmap=hold. */
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/sched.h>

#include "extent.h"
#include "folios.h"

/* Returns the address after @folio. */
static phys_addr_t after(struct folio *folio)
{
	return PFN_PHYS(folio_pfn(folio) + folio_nr_pages(folio));
}

static phys_addr_t end_of(const struct flat_extent *e)
{
	return e->phys + (e->last - e->iova) + 1;
}

/*
 * Returns the folio at @at with a reference, or NULL if VFIO has not pinned it: registers of a
 * device, or the pages that type1 maps at every attach.
 */
static struct folio *get_pinned(phys_addr_t at)
{
	struct page *page = pfn_to_online_page(PHYS_PFN(at));
	struct folio *folio;

	if (!page)
		return NULL;
	folio = page_folio(page);
	if (!folio_try_get(folio))
		return NULL;
	if (folio_maybe_dma_pinned(folio))
		return folio;
	folio_put(folio);
	return NULL;
}

/*
 * Gets a reference to each folio of @e, up to the first folio that is not pinned. Cuts @e there.
 * Returns false if nothing of @e is left.
 */
bool flat_get_folios(struct flat_extent *e)
{
	phys_addr_t at = e->phys, end = end_of(e);
	struct folio *folio;

	while (at < end) {
		folio = get_pinned(at);
		if (!folio)
			break;
		at = after(folio);
		cond_resched();
	}
	if (at == e->phys)
		return false;
	e->last = e->iova + (min(at, end) - e->phys) - 1;
	return true;
}

/* Undoes flat_get_folios(). No folio was split meanwhile, because each has a reference. */
void flat_put_folios(const struct flat_extent *e)
{
	phys_addr_t at = e->phys, end = end_of(e);

	while (at < end) {
		struct folio *folio = page_folio(pfn_to_page(PHYS_PFN(at)));

		at = after(folio);
		folio_put(folio);
		cond_resched();
	}
}
