// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a function can reach. The kernel keeps memory in zones, by the number of address bits
 * that reach it. For other numbers of bits, and for pieces larger than its allocator has, a range
 * is cleared by moving its contents away.
 */
#include <linux/gfp.h>
#include <linux/hugetlb.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/sched/signal.h>

#include "busmap.h"
#include "compat.h"
#include "reach.h"

/* Memory is searched for in the zones, the widest first, and then in ranges. */
static const gfp_t zones[] = { 0, GFP_DMA32, GFP_DMA };

#define FIRST_NARROW	1
#define RANGES		ARRAY_SIZE(zones)
#define MAX_BLOCK	MAX_ORDER_NR_PAGES	/* pages: largest piece of a zone */

/*
 * Give up after this many ranges that cannot be cleared. Each may need milliseconds. But a range
 * that belongs to CMA fails at once, and CMA may have thousands of them.
 */
#define MAX_BUSY	128
#define MAX_QUICK	16384
#define QUICK		(100 * NSEC_PER_USEC)

/* Pages to zero, check or free before cond_resched(). */
#define AT_ONCE		256

static void put_each(struct page *page, unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		__free_page(page + i);
		if (!(i % AT_ONCE))
			cond_resched();
	}
}

static bool fits(const struct flat_reach *r, unsigned long pfn, unsigned long n)
{
	u64 size = PFN_PHYS(n);
	dma_addr_t bus = flat_bus_address(r->map, PFN_PHYS(pfn), size);

	return bus != DMA_MAPPING_ERROR && bus <= r->last && size - 1 <= r->last - bus;
}

/*
 * Returns consecutive pages of one zone, or NULL. The kernel reclaims and compacts memory for them
 * only if fewer pages would not do (@contiguous, or a single page), and never kills a program.
 */
static struct page *alloc_block(const struct flat_reach *r, gfp_t zone, unsigned long n)
{
	unsigned int order = order_base_2(n);
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN | zone;
	struct page *page;

	if (n > MAX_BLOCK)
		return NULL;
	if (r->this_node)
		gfp |= __GFP_THISNODE;
	if (r->contiguous || n == 1)
		gfp |= __GFP_RETRY_MAYFAIL;
	else
		gfp = (gfp & ~__GFP_DIRECT_RECLAIM) | __GFP_NORETRY;
	page = alloc_pages_node(r->node, gfp, order);
	if (!page || !order)
		return page;
	/* After this each page can be mapped and freed by itself. */
	split_page(page, order);
	put_each(page + n, (1UL << order) - n);
	return page;
}

/* Is it worth trying to move the contents of @page away? A first check, without a lock. */
static bool can_be_cleared(struct page *page)
{
	if (PageReserved(page) || is_zone_movable_page(page))
		return false;
	/* Pages of hugetlb are reserved for programs. */
	if (PageCompound(page) && folio_test_hugetlb(page_folio(page)))
		return false;
	return !page_count(page) || PageLRU(page);
}

/*
 * Returns the end of these pages if they can be cleared. Else returns the end of the next lower
 * range, which avoids the page that cannot be cleared.
 */
static unsigned long first_obstacle(unsigned long pfn, unsigned long n, int node)
{
	struct zone *zone = NULL;
	unsigned long at;

	for (at = pfn; at < pfn + n; at++) {
		struct page *page = pfn_to_online_page(at);

		if (!page)
			return ALIGN_DOWN(at, PAGES_PER_SECTION);
		if (!zone) {
			zone = page_zone(page);
			/* The kernel isolates whole pageblocks, and looks at their first page. */
			if (!zone_spans_pfn(zone, ALIGN_DOWN(pfn, pageblock_nr_pages)))
				return ALIGN_DOWN(pfn, pageblock_nr_pages);
		}
		if (page_to_nid(page) != node || page_zone(page) != zone || !can_be_cleared(page))
			return at;
		if (!(at % AT_ONCE))
			cond_resched();
	}
	return at;
}

/* Returns the highest consecutive pages of a node that can be cleared, NULL or -EINTR. */
static struct page *alloc_range_of_node(const struct flat_reach *r, int node, unsigned long n)
{
	unsigned long first = node_start_pfn(node), end = node_end_pfn(node);
	unsigned long last = PFN_DOWN(flat_bus_map_last(r->map, r->last));
	unsigned long step = roundup_pow_of_two(n), pfn = min(end, last + 1), obstacle;
	unsigned int busy = 0, quick = 0;
	bool is_quick;
	u64 began;
	int ret;

	while (pfn >= first + n) {
		pfn = ALIGN_DOWN(pfn - n, step);
		if (pfn < first)
			break;
		cond_resched();
		if (fatal_signal_pending(current))
			return ERR_PTR(-EINTR);
		if (!fits(r, pfn, n))
			continue;
		obstacle = first_obstacle(pfn, n, node);
		if (obstacle < pfn + n) {
			pfn = obstacle;
			continue;
		}
		began = ktime_get_ns();
		ret = flat_compat_alloc_range(pfn, pfn + n);
		if (!ret)
			return pfn_to_page(pfn);
		if (ret == -EINTR)
			return ERR_PTR(ret);
		is_quick = ktime_get_ns() - began < QUICK;
		quick += is_quick;
		busy += !is_quick;
		if (ret == -EOPNOTSUPP || busy == MAX_BUSY || quick == MAX_QUICK)
			break;
		/* Pages near one that cannot be moved often cannot be moved, either. */
		pfn = ALIGN_DOWN(pfn, pageblock_nr_pages);
	}
	return NULL;
}

/*
 * Charges pages of a range to the caller's memory cgroup, as the allocator charges its pages.
 * Returns false if the cgroup's limit does not allow it.
 */
static bool charge(struct page *pages, unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		struct page *page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_NOWARN |
					       __GFP_RETRY_MAYFAIL);

		if (!page)
			return false;
		flat_compat_move_charge(page, &pages[i]);
		__free_page(page);
		if (!(i % AT_ONCE))
			cond_resched();
	}
	return true;
}

static struct page *alloc_range(const struct flat_reach *r, unsigned long n)
{
	struct page *page = alloc_range_of_node(r, r->node, n);
	int node;

	if (!page && !r->this_node) {
		for_each_online_node(node) {
			page = node == r->node ? NULL : alloc_range_of_node(r, node, n);
			if (page)
				break;
		}
	}
	if (IS_ERR_OR_NULL(page) || charge(page, n))
		return page;
	put_each(page, n);
	return NULL;
}

/* Returns the first of @n consecutive pages, each with a reference, NULL or -EINTR. */
static struct page *alloc_from(const struct flat_reach *r, unsigned int source, unsigned long n)
{
	if (fatal_signal_pending(current))
		return ERR_PTR(-EINTR);
	return source == RANGES ? alloc_range(r, n) : alloc_block(r, zones[source], n);
}

/* Zeroes @n pages from @page on, and puts them into @pages. */
static void keep(struct page **pages, struct page *page, unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		pages[i] = page + i;
		clear_page(page_address(pages[i]));
		if (!(i % AT_ONCE))
			cond_resched();
	}
}

/**
 * flat_reach_alloc() - allocate memory that a function reaches
 * @r:		the memory that is wanted
 * @pages:	gets the pages, all zero, each with a reference of its own
 * @n:		number of pages
 *
 * Returns 0, or with nothing allocated
 * -ENOMEM	no memory
 * -ERANGE	no memory that the function reaches
 * -EINTR	a signal that kills the program
 */
int flat_reach_alloc(const struct flat_reach *r, struct page **pages, unsigned long n)
{
	/* Do not move memory away if any memory will do. */
	const unsigned int sources = RANGES + (r->contiguous || r->last < U64_MAX);
	unsigned int source = r->last > U32_MAX ? 0 : FIRST_NARROW;
	unsigned long done = 0, block = MAX_BLOCK;
	struct page *page = NULL;

	/* More pages are wanted than there are addresses. A search by page would need minutes. */
	if (n > PHYS_PFN(r->last) + 1)
		return -ERANGE;
	while (done < n && source < sources) {
		block = r->contiguous ? n : min(block, rounddown_pow_of_two(n - done));
		page = alloc_from(r, source, block);
		if (IS_ERR(page))
			break;
		if (page && fits(r, page_to_pfn(page), block)) {
			keep(pages + done, page, block);
			done += block;
			continue;
		}
		if (page)
			put_each(page, block);
		if (!page && !r->contiguous && block > 1) {
			block /= 2;
		} else {
			/* None is left, or the function does not reach the rest either. */
			source++;
			block = MAX_BLOCK;
		}
	}
	if (done == n)
		return 0;
	flat_reach_free(pages, done);
	if (IS_ERR(page))
		return PTR_ERR(page);
	return r->last < U64_MAX ? -ERANGE : -ENOMEM;
}

/* Drops the reference to each page. A page that is still mapped or pinned is freed after that. */
void flat_reach_free(struct page **pages, unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		__free_page(pages[i]);
		if (!(i % AT_ONCE))
			cond_resched();
	}
}
