// SPDX-License-Identifier: GPL-2.0-only
/* The pages of a pin, as runs that are contiguous in memory. */
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "compat.h"
#include "pages.h"
#include "thp.h"

/* Initialises @p, which is zeroed. */
void flat_pages_init(struct flat_pages *p)
{
	p->runs = p->few;
	p->max_runs = FLAT_FEW_RUNS;
}

/* Returns the index of the run that contains page @page of the pin. */
unsigned long flat_pages_find(const struct flat_pages *p, unsigned long page)
{
	unsigned long low = 0, high = p->nr_runs;

	while (high - low > 1) {
		unsigned long middle = low + (high - low) / 2;

		if (p->runs[middle].first <= page)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Not kvrealloc(), whose arguments differ between kernels. */
static int resize(struct flat_pages *p, unsigned long max)
{
	struct flat_run *runs;

	runs = kvmalloc_array(max, sizeof(*runs), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!runs)
		return -ENOMEM;
	memcpy(runs, p->runs, p->nr_runs * sizeof(*runs));
	if (p->runs != p->few)
		kvfree(p->runs);
	p->runs = runs;
	p->max_runs = max;
	return 0;
}

/*
 * Makes room for the runs of all @total pages, assuming that they are as long on average as the
 * runs of the first @n pages. This may be a guess from few pages, so the array becomes at most 8
 * times as long. If there is no memory for that, it becomes twice as long.
 */
static noinline int grow(struct flat_pages *p, unsigned long n, unsigned long total)
{
	unsigned long left = (total - n) / (n / p->nr_runs), least = 2 * p->max_runs;
	unsigned long max = clamp(p->nr_runs + left + 1, least, 8 * p->max_runs);

	return resize(p, max) && (max == least || resize(p, least)) ? -ENOMEM : 0;
}

/* Begins a run with page @first of @total. Called for each page of scattered memory. */
static __always_inline int new_run(struct flat_pages *p, unsigned long pfn, unsigned long first,
				   unsigned int order, unsigned long total)
{
	if (p->nr_runs == p->max_runs && grow(p, first, total))
		return -ENOMEM;
	p->runs[p->nr_runs++] = (struct flat_run) {
		.order = order,
		.pfn = pfn,
		.first = first,
	};
	return 0;
}

#define NO_PFN ULONG_MAX

/* Returns the frame number that continues the last run, if that has @order, or NO_PFN. */
static unsigned long next_pfn(const struct flat_pages *p, unsigned int order)
{
	const struct flat_run *last;

	if (!p->nr_runs)
		return NO_PFN;
	last = &p->runs[p->nr_runs - 1];
	return last->order == order ? last->pfn + (p->n - last->first) : NO_PFN;
}

static __always_inline bool is_hugetlb(struct page *page)
{
	return PageCompound(page) && folio_test_hugetlb(page_folio(page));
}

/* Appends the pages of a huge page from @page on; the page pin of @page keeps all of them. */
static noinline int add_huge(struct flat_pages *p, struct page *page, unsigned long total)
{
	struct folio *folio = page_folio(page);
	unsigned long rest = folio_nr_pages(folio) - folio_page_idx(folio, page);
	unsigned int order = folio_order(folio);
	unsigned long pfn = page_to_pfn(page);

	if (pfn != next_pfn(p, order) && new_run(p, pfn, p->n, order, total))
		return -ENOMEM;
	p->n += min(total - p->n, rest);
	return 0;
}

/*
 * Appends pages that are pinned one by one, up to the first one of hugetlb. Sets *@added to the
 * number of pages appended. A page of hugetlb that follows the previous page in memory is appended
 * like an ordinary page. This is right, too, because it has a page pin of its own.
 */
static int add_each(struct flat_pages *p, struct page **pages, int n, unsigned long total,
		    int *added)
{
	unsigned long next = next_pfn(p, 0);
	int i, ret = 0;

	for (i = 0; i < n; i++, next++) {
		unsigned long pfn = page_to_pfn(pages[i]);

		if (pfn == next)
			continue;
		if (is_hugetlb(pages[i]))
			break;
		ret = new_run(p, pfn, p->n + i, 0, total);
		if (ret)
			break;
		next = pfn;
	}
	p->n += i;
	*added = i;
	return ret;
}

/* Maximum number of pages to pin in one call: their pointers fill a page. */
#define BATCH (PAGE_SIZE / sizeof(struct page *))
/* Maximum number of pages to pin in one call with an array on the stack. */
#define FEW_PAGES 16

/* May a transparent huge page be at @addr, maybe only after the page pin has faulted it in? */
static bool may_be_thp(unsigned long addr, unsigned long n, bool writable)
{
	return IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) && writable && n >= FLAT_THP_PAGES &&
	       IS_ALIGNED(addr, PMD_SIZE);
}

/* Returns how many pages to pin in one call: up to the next address where a huge page may begin. */
static unsigned long pages_at_once(unsigned long addr, unsigned long n, unsigned long room)
{
	return min3(n, room, (ALIGN(addr + 1, PMD_SIZE) - addr) >> PAGE_SHIFT);
}

/*
 * Pins some pages from @addr on. A page pin of any page of a huge page keeps all of it in place, so
 * a page that may begin a huge page is pinned alone. *@huge: the first page may be one of hugetlb;
 * this call sets it for the next call. Returns 0, with p->n raised, or an error.
 */
static int pin_some(struct flat_pages *p, unsigned long addr, unsigned long total, bool writable,
		    bool *huge, struct page **pages, unsigned long room)
{
	unsigned int flags = FOLL_LONGTERM | (writable ? FOLL_WRITE : 0);
	unsigned long n = total - p->n;
	bool thp = may_be_thp(addr, n, writable);
	int got, added = 0, ret;

	if (!writable)
		flags |= flat_compat_pin_to_read(addr, &n);
	if (*huge || thp)
		room = 1;
	got = pin_user_pages_fast(addr, pages_at_once(addr, n, room), flags, pages);
	if (got == -ENOMEM || got == -EINTR)
		return got;
	/* The kernel has different errors for different kinds of memory that cannot be pinned. */
	if (got <= 0)
		return -EFAULT;
	*huge = is_hugetlb(pages[0]);
	if (*huge || (thp && flat_thp_is_pinned(addr, pages[0]))) {
		ret = add_huge(p, pages[0], total);
		added = ret ? 0 : 1;
	} else {
		ret = add_each(p, pages, got, total, &added);
		/* The next call pins the first page that was not appended, by itself. */
		*huge = added < got;
	}
	/* Unpin pages that were not appended, and all but the first one of a huge page. */
	if (added < got)
		unpin_user_pages(pages + added, got - added);
	return ret;
}

/* Frees the unused part of the array, if it is more than half. */
static void shrink(struct flat_pages *p)
{
	if (p->runs != p->few && p->max_runs > 2 * p->nr_runs)
		resize(p, p->nr_runs);
}

/*
 * Appends @n pages of @total, from @pfn on. Another object keeps these pages, and all others of @p,
 * in place. Returns 0 or -ENOMEM.
 */
int flat_pages_add(struct flat_pages *p, unsigned long pfn, unsigned long n, unsigned long total)
{
	p->borrowed = true;
	if (pfn != next_pfn(p, 0) && new_run(p, pfn, p->n, 0, total))
		return -ENOMEM;
	p->n += n;
	if (p->n == total)
		shrink(p);
	return 0;
}

/**
 * flat_pages_pin() - pin memory of the caller
 * @p:		gets the pages; after an error, the pages that were pinned before it
 * @addr:	address of the first page
 * @n:		number of pages
 * @writable:	the pages will be written to
 *
 * Returns 0, -EFAULT, -ENOMEM or -EINTR.
 */
int flat_pages_pin(struct flat_pages *p, unsigned long addr, unsigned long n, bool writable)
{
	struct page *few[FEW_PAGES], **pages = few;
	unsigned long room = FEW_PAGES;
	bool huge = true;
	int ret = 0;

	while (!ret && p->n < n) {
		/* A longer array, unless the pages are huge or few. */
		if (pages == few && !huge && n - p->n > FEW_PAGES &&
		    !may_be_thp(addr + p->n * PAGE_SIZE, n - p->n, writable)) {
			pages = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
			if (!pages)
				return -ENOMEM;
			room = BATCH;
		}
		if (fatal_signal_pending(current))
			ret = -EINTR;
		else
			ret = pin_some(p, addr + p->n * PAGE_SIZE, n, writable, &huge, pages, room);
		cond_resched();
	}
	if (pages != few)
		free_page((unsigned long)pages);
	if (!ret)
		shrink(p);
	return ret;
}

/* Pages to unpin before cond_resched(); a run may be all of memory. */
#define UNPIN_AT_ONCE 1024

static void unpin_run(const struct flat_pages *p, unsigned long i, bool dirty)
{
	const struct flat_run *run = &p->runs[i];
	unsigned long end = run->pfn + (flat_pages_end(p, i) - run->first), pfn, next;

	for (pfn = run->pfn; pfn < end; pfn = next) {
		struct page *page = pfn_to_page(pfn);

		if (run->order) {
			next = ALIGN(pfn + 1, 1UL << run->order);
			unpin_user_pages_dirty_lock(&page, 1, dirty);
		} else {
			next = min(pfn + UNPIN_AT_ONCE, end);
			unpin_user_page_range_dirty_lock(page, next - pfn, dirty);
		}
		cond_resched();
	}
}

/* Unpins the pages, as dirty if @dirty, unless they are borrowed. Frees the array. */
void flat_pages_unpin(struct flat_pages *p, bool dirty)
{
	unsigned long i;

	for (i = 0; i < p->nr_runs && !p->borrowed; i++)
		unpin_run(p, i, dirty);
	if (p->runs != p->few)
		kvfree(p->runs);
}
