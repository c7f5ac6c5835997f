// SPDX-License-Identifier: MIT
/*
 * Every answer is true when it is given: the page is pinned at that address, and mapped. The
 * library sees most calls that end a mapping (interpose-memory.c), but not libc's own, such as in
 * free() of a large block, and not those that a program makes without libc. So before a page is
 * answered again, it is pinned once more, and the frames are compared: the old frame is still
 * pinned, so if both are equal, the page is the same. This finds a mapping that has ended unseen, or
 * a sweep does. A sweep runs whenever more than twice as much is pinned as the last sweep has left.
 */
#include "pins.h"

#include <errno.h>

#include "node.h"
#include "ranges.h"

/* Pages of a huge page, with pages of 4 KiB. If a frame fits one, a pin of all of it is tried. */
#define HUGE	512u
/* Segments of a look-up for few pages. */
#define FEW_SEGMENTS 16u
/* Entries that are looked at together. */
#define BLOCK	64u

static struct answer fresh, old;
/* The latest look-up, and its first page in the pin. window.pin is 0 if there is none. */
static struct answer window;
static uint64_t window_start;
/* The index of its segment that was used last, and that segment's first page in the pin. */
static unsigned int window_s;
static uint64_t window_at;
static uint64_t raw_entries[HUGE];
static uint64_t serial;		/* number of calls of pins_answer() */
static uint64_t live, swept;	/* pages in ranges: now, and after the last sweep */
/* The page after the last new pin, and the pin's size. */
static uint64_t next_page, last_size;
static bool last_huge;

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Pages of a huge page of 1 GiB, for which the same is tried. It is the maximum of one pin. */
static uint64_t giant(void)
{
	return (1ull << 30) >> node_page_shift();
}

/* Pages that may be pinned without a sweep. */
static uint64_t slack(void)
{
	return (64ull << 20) >> node_page_shift();
}

static uint64_t frame_of(const struct flatiommu_segment *segment)
{
	return segment->address >> node_page_shift();
}

static uint64_t pages_of(const struct flatiommu_segment *segment)
{
	return segment->length >> node_page_shift();
}

static void put_pin(struct pin *pin)
{
	if (--pin->refs)
		return;
	if (window.pin == pin->id)
		window.pin = 0;
	node_unpin(pin->id);
	pin_free(pin);
}

/* Removes a range from the table. */
static void end_range(struct range *range)
{
	uint64_t pages = range->end - range->start;

	ranges_remove(range);
	live -= pages;
	range->pin->live -= pages;
	put_pin(range->pin);
	range_free(range);
}

/* Makes the struct of the pin in @fresh, for one range. Without memory: unpins, returns NULL. */
static struct pin *new_pin(uint64_t pages, bool shared)
{
	struct pin *pin = pin_new();

	if (!pin) {
		node_unpin(fresh.pin);
		return NULL;
	}
	*pin = (struct pin){ .id = fresh.pin, .refs = 1, .pages = pages, .live = pages,
			     .shared = shared, .made = serial, .frame = NO_FRAME };
	if (fresh.nr == 1 && fresh.pages == pages)
		pin->frame = frame_of(fresh.segments);
	return pin;
}

/* Is the page still shared? A pin copies a private page of a file, if nothing was written to it. */
static bool is_shared_still(uint64_t page)
{
	uint64_t entry;

	return !node_read(page, &entry, 1) && entry & ENTRY_SHARED;
}

/* Adds the range that @fresh has pinned, from @page on. Without memory: unpins, returns NULL. */
static struct range *keep(uint64_t page, uint64_t pages, bool shared)
{
	struct range *range = range_new();
	struct pin *pin;

	if (!range) {
		node_unpin(fresh.pin);
		return NULL;
	}
	pin = new_pin(pages, shared && is_shared_still(page));
	if (!pin) {
		range_free(range);
		return NULL;
	}
	range->start = page;
	range->end = page + pages;
	range->pin = pin;
	ranges_add(range);
	live += pages;
	return range;
}

/* Makes a range end at @page, and another one begin there. */
static int cut(uint64_t page)
{
	struct range *range = ranges_at(page), *rest;

	if (!range || range->start == page)
		return 0;
	rest = range_new();
	if (!rest)
		return -ENOMEM;
	rest->start = page;
	rest->end = range->end;
	rest->pin = range->pin;
	rest->pin->refs++;
	rest->offset = range->offset + (page - range->start);
	range->end = page;
	ranges_add(rest);
	return 0;
}

/* Returns the bits that all entries have. */
static uint64_t all_of(const uint64_t *entries, size_t n)
{
	uint64_t all = ~0ull;
	size_t i;

	for (i = 0; i < n; i++)
		all &= entries[i];
	return all;
}

/*
 * Returns the number of entries that are present, up to the first one that is not. @all: bits that
 * they all have.
 */
static size_t count_present(const uint64_t *entries, size_t n, uint64_t *all)
{
	uint64_t these;
	size_t i;

	*all = ~0ull;
	/* A program may read the entries of gigabytes at once. */
	for (i = 0; n - i >= BLOCK; i += BLOCK) {
		these = all_of(entries + i, BLOCK);
		if (!(these & ENTRY_PRESENT))
			break;
		*all &= these;
	}
	for (; i < n && entries[i] & ENTRY_PRESENT; i++)
		*all &= entries[i];
	return i;
}

/* Counts entries at the beginning that are all of shared memory, or all of private memory. */
static uint64_t count_of_kind(const uint64_t *entries, uint64_t n)
{
	uint64_t i;

	for (i = 1; i < n && !((entries[i] ^ entries[0]) & ENTRY_SHARED); i++)
		;
	return i;
}

/* Are all pages present, and all of @shared memory or all of private memory? */
static bool are_present(uint64_t page, uint64_t pages, bool *shared)
{
	uint64_t at, n;
	int ret = node_are_present(page, pages, shared);

	if (ret >= 0)
		return ret;
	for (at = 0; at < pages; at += n) {
		n = min(pages - at, HUGE);
		if (node_read(page + at, raw_entries, n) ||
		    !(all_of(raw_entries, n) & ENTRY_PRESENT) || count_of_kind(raw_entries, n) < n)
			return false;
		if (!at)
			*shared = raw_entries[0] & ENTRY_SHARED;
		else if (*shared != !!(raw_entries[0] & ENTRY_SHARED))
			return false;
	}
	return true;
}

/* Pins the range anew, and puts its old pin. Returns 0 or -errno. */
static int renew(struct range *range, bool shared)
{
	uint64_t pages = range->end - range->start;
	struct pin *before = range->pin, *pin;
	int ret;

	ret = node_pin(range->start, pages, &fresh);
	if (ret)
		return ret;
	pin = new_pin(pages, shared);
	if (!pin)
		return -ENOMEM;
	range->pin = pin;
	range->offset = 0;
	before->live -= pages;
	put_pin(before);
	return 0;
}

/*
 * @dropped pages beside the range were dropped, but may still be in its pin. To unpin them, the
 * range is pinned anew: now if they are a large part of the pin, else later with more of them. If
 * that fails, the old pin stays. All pages must be present, because a pin would allocate them.
 */
static void let_go_beside(struct range *range, uint64_t dropped)
{
	const struct pin *pin = range->pin;
	bool shared;

	if (pin->live < pin->pages && (dropped >= pin->pages / 64 || pin->live <= pin->pages / 2) &&
	    are_present(range->start, range->end - range->start, &shared))
		renew(range, shared);
}

void pins_drop(uint64_t start, uint64_t end)
{
	uint64_t dropped = end - start;
	struct range *range;

	/* If a range cannot be cut for lack of memory, keep it whole: part of it is in use. */
	if (cut(start))
		start = ranges_at(start)->end;
	if (cut(end))
		end = ranges_at(end)->start;
	while ((range = ranges_from(start)) && range->start < end)
		end_range(range);
	range = start ? ranges_at(start - 1) : NULL;
	if (range)
		let_go_beside(range, dropped);
	range = ranges_at(end);
	if (range)
		let_go_beside(range, dropped);
}

void pins_move(uint64_t from, uint64_t end, uint64_t to)
{
	struct range *range, *moved = NULL;

	/* If a range cannot be cut for lack of memory, a part stays pinned at the old address. */
	if (cut(from) || cut(end))
		return;
	while ((range = ranges_from(from)) && range->start < end) {
		ranges_remove(range);
		range->start += to - from;
		range->end += to - from;
		range->left = moved;
		moved = range;
	}
	while ((range = moved)) {
		moved = range->left;
		ranges_add(range);
	}
}

/* Have both answers exactly @pages pages at the same addresses? */
static bool are_alike(const struct answer *a, const struct answer *b, uint64_t pages)
{
	unsigned int i;

	if (a->pages != pages || b->pages != pages || a->nr != b->nr)
		return false;
	for (i = 0; i < a->nr; i++)
		if (a->segments[i].address != b->segments[i].address ||
		    a->segments[i].length != b->segments[i].length)
			return false;
	return true;
}

/* Adds pages of the window from @offset in the pin on to the answer, as many as it has. */
static void copy_window(uint64_t offset, uint64_t pages, struct answer *answer)
{
	uint64_t skipped, part;
	unsigned int s;

	/* Most programs go on where they were. */
	if (offset < window_at) {
		window_at = window_start;
		window_s = 0;
	}
	for (; window_at + pages_of(&window.segments[window_s]) <= offset; window_s++)
		window_at += pages_of(&window.segments[window_s]);
	skipped = offset - window_at;
	for (s = window_s; s < window.nr && answer->pages < pages; s++) {
		part = min(pages_of(&window.segments[s]) - skipped, pages - answer->pages);
		answer->segments[answer->nr++] = (struct flatiommu_segment){
			.address = (frame_of(&window.segments[s]) + skipped) << node_page_shift(),
			.length = part << node_page_shift(),
		};
		answer->pages += part;
		skipped = 0;
	}
}

/*
 * Looks more pages up than are asked for: a huge page, or as many as fit if the program goes on
 * after the window. Returns 0 or -errno.
 */
static int move_window(const struct pin *pin, uint64_t offset, uint64_t pages)
{
	bool goes_on = window.pin == pin->id && offset == window_start + window.pages;
	unsigned int most = goes_on || pages > FEW_SEGMENTS ? NODE_SEGMENTS : FEW_SEGMENTS;
	uint64_t rest = pin->pages - offset;
	int ret;

	window.pin = pin->id;
	window_start = offset;
	window_at = offset;
	window_s = 0;
	ret = node_look_up(offset, goes_on || pages > HUGE ? rest : min(rest, HUGE), most, &window);
	if (ret || !window.nr)
		window.pin = 0;
	return ret ? ret : window.nr ? 0 : -ERANGE;
}

/* Gets the addresses of pages of the range by its pin, maybe of fewer pages. */
static int look_up(const struct range *range, uint64_t page, uint64_t pages, struct answer *answer)
{
	uint64_t offset = range->offset + (page - range->start);
	const struct pin *pin = range->pin;
	int ret;

	answer->pin = pin->id;
	if (pin->frame != NO_FRAME) {
		answer->pages = pages;
		answer->nr = 1;
		answer->segments[0].address = (pin->frame + offset) << node_page_shift();
		answer->segments[0].length = pages << node_page_shift();
		return 0;
	}
	if (window.pin != pin->id || offset < window_start || offset >= window_start + window.pages) {
		ret = move_window(pin, offset, pages);
		if (ret)
			return ret;
	}
	answer->pages = 0;
	answer->nr = 0;
	copy_window(offset, pages, answer);
	return 0;
}

/*
 * Are the mapped pages still the pinned ones? Returns 1, 0, or -errno if it
 * cannot be found out.
 */
static int is_as_it_was(const struct range *range, uint64_t page, uint64_t pages)
{
	int ret;

	ret = node_pin(page, pages, &fresh);
	if (ret)
		return ret == -EFAULT ? 0 : ret;
	ret = look_up(range, page, pages, &old);
	if (!ret)
		ret = are_alike(&fresh, &old, pages);
	node_unpin(fresh.pin);
	return ret;
}

/*
 * Checks pages at the beginning of a part of a range. Drops the first one if it has changed; the
 * others may be in use. Returns the number of unchanged pages, 0 if one was dropped, or -errno.
 */
static int64_t check(const struct range *range, uint64_t page, uint64_t pages)
{
	int ret;

	/* As many as can be compared at once. */
	ret = look_up(range, page, min(pages, giant()), &old);
	if (ret)
		return ret;
	pages = old.pages;
	while ((ret = is_as_it_was(range, page, pages)) <= 0 && pages > 1)
		pages /= 2;
	if (ret > 0)
		return (int64_t)pages;
	if (!ret)
		pins_drop(page, page + 1);
	return ret;
}

/*
 * Pins 1 to @n pages of a range anew, and then puts the range's old pin. Returns 0 or -errno.
 */
static int replace(uint64_t page, uint64_t n, bool shared)
{
	int ret = node_pin(page, n, &fresh);

	if (ret && n > 1) {
		n = 1;
		ret = node_pin(page, n, &fresh);
	}
	if (ret)
		return ret;
	if (cut(page) || cut(page + n)) {
		node_unpin(fresh.pin);
		return -ENOMEM;
	}
	end_range(ranges_at(page));
	return keep(page, n, shared) ? 0 : -ENOMEM;
}

/*
 * Drops pages of [page, end) that are not mapped, and not there any more. The kernel unmaps a page of
 * shared memory before it finds out that the page is pinned, and so cannot be swapped out or moved.
 */
static void drop_absent(uint64_t page, uint64_t end)
{
	struct range *range;
	int64_t same;
	uint64_t n;
	bool there;

	for (; page < end && (range = ranges_from(page)) && range->start < end; page += n) {
		if (page < range->start)
			page = range->start;
		n = min(end, range->end) - page;
		there = false;
		if (range->pin->shared)
			n = node_count_there(page, n, &there);
		if (!there) {
			pins_drop(page, page + n);
		} else {
			/* If the function of the pin is gone, pin the page for another one. */
			same = look_up(range, page, 1, &old) ? replace(page, 1, true) :
			       check(range, page, n);
			n = same > 0 ? (uint64_t)same : 1;
		}
	}
}

/* Can a sweep skip the rest of the range? */
static bool is_in_order(const struct range *range, uint64_t page, bool all)
{
	bool unused;

	return !all && node_are_present(page, range->end - page, &unused) > 0;
}

void pins_sweep(bool all)
{
	uint64_t page = 0, n, i, absent;
	struct range *range;
	int64_t same;

	while ((range = ranges_from(page))) {
		if (page < range->start)
			page = range->start;
		if (is_in_order(range, page, all)) {
			page = range->end;
			continue;
		}
		n = min(range->end - page, HUGE);
		if (node_read(page, raw_entries, n))
			return;
		for (i = 0; i < n && raw_entries[i] & ENTRY_PRESENT; i++)
			;
		if (i < n) {
			for (absent = i; i < n && !(raw_entries[i] & ENTRY_PRESENT); i++)
				;
			n = i;
			drop_absent(page + absent, page + n);
		} else if (all) {
			same = check(range, page, n);
			/* An error, such as a limit, is that of the next pages, too. */
			n = same > 0 ? (uint64_t)same : same ? n : 1;
		}
		page += n;
	}
	if (all)
		swept = live;
}

/* Are all pages present, and none pinned? */
static bool is_free(uint64_t page, uint64_t pages, bool *shared)
{
	const struct range *range = ranges_from(page);

	return (!range || range->start >= page + pages) && are_present(page, pages, shared);
}

/* Pins the huge page of @size that contains @page. Ends @part, its part that was pinned before. */
static struct range *pin_huge(uint64_t page, uint64_t size, struct range *part)
{
	uint64_t start = page & ~(size - 1);
	bool shared;

	if (part ? !are_present(start, size, &shared) : !is_free(start, size, &shared))
		return NULL;
	if (node_pin(start, size, &fresh))
		return NULL;
	if (fresh.nr != 1 || fresh.pages != size) {
		node_unpin(fresh.pin);
		return NULL;
	}
	if (part)
		end_range(part);
	return keep(start, size, shared);
}

/* Does the answer have all @pages, in huge pages? */
static bool is_of_huge(const struct answer *answer, uint64_t pages)
{
	unsigned int i;

	for (i = 0; i < answer->nr; i++)
		if (pages_of(&answer->segments[i]) % HUGE)
			return false;
	return answer->pages == pages;
}

/* Reads ahead for a program that reads huge page after huge page: twice the last pin. */
static struct range *pin_ahead(uint64_t page)
{
	uint64_t pages = min(2 * last_size, giant());
	bool shared;

	if (page != next_page || page % HUGE || !is_free(page, pages, &shared) ||
	    node_pin(page, pages, &fresh))
		return NULL;
	if (is_of_huge(&fresh, pages))
		return keep(page, pages, shared);
	node_unpin(fresh.pin);
	return NULL;
}

/* Could the range be the only pinned part of a huge page of @size? */
static bool may_be_of(const struct range *range, uint64_t size)
{
	uint64_t start = range->start & ~(size - 1);
	const struct range *next = ranges_from(range->end);

	return range->end - range->start < size && range->end <= start + size &&
	       range->pin->frame != NO_FRAME && !((range->pin->frame ^ range->start) & (size - 1)) &&
	       ranges_from(start) == range && (!next || next->start >= start + size);
}

/* Pins some of @pages. Returns 0, or the error of the first one. */
static int pin_some(uint64_t page, uint64_t pages, bool shared, struct range **result)
{
	static uint64_t failed, swept_for;
	int ret;

	/* after a page that failed, the next one probably fails, too */
	if (page == failed + 1)
		pages = 1;
	while ((ret = node_pin(page, pages, &fresh))) {
		if (ret == -ENOMEM && swept_for != serial) {
			swept_for = serial;
			pins_sweep(true);
		} else if (pages > 1) {
			pages /= 2;
		} else {
			failed = page;
			return ret;
		}
	}
	*result = keep(page, pages, shared);
	return *result ? 0 : -ENOMEM;
}

/* Pins @pages or some of them, or more if the program reads page after page. */
static int pin_more(uint64_t page, uint64_t pages, bool shared, struct range **result)
{
	uint64_t ahead = min(2 * last_size, HUGE);
	struct range *range = NULL, *huge;
	bool alike;
	int ret;

	if (live > 2 * swept + slack())
		pins_sweep(true);
	if (last_huge && pages < HUGE) {
		range = pin_ahead(page);
		if (!range)
			range = pin_huge(page, HUGE, NULL);
		last_huge = range;
	}
	if (!range && page == next_page && pages < ahead && is_free(page, ahead, &alike) &&
	    !node_pin(page, ahead, &fresh))
		range = keep(page, ahead, alike);
	if (!range) {
		ret = pin_some(page, min(pages, giant()), shared, &range);
		if (ret)
			return ret;
	}
	if (may_be_of(range, HUGE)) {
		huge = pin_huge(page, HUGE, range);
		last_huge = huge;
		range = huge ? huge : ranges_at(page);
	}
	if (range && may_be_of(range, giant())) {
		huge = pin_huge(page, giant(), range);
		range = huge ? huge : ranges_at(page);
	}
	if (!range)
		return -ENOMEM;
	next_page = range->end;
	last_size = range->end - range->start;
	*result = range;
	return 0;
}

/* Writes consecutive frames into entries. No frame is beyond the bits of ENTRY_FRAME. */
static void write_frames(uint64_t *entries, uint64_t frame, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		entries[i] = (entries[i] & ~ENTRY_FRAME) | frame++;
}

/* Writes the frames of one look-up into entries. Returns the number of entries, or -errno. */
static int64_t fill(const struct range *range, uint64_t page, uint64_t *entries, uint64_t n)
{
	uint64_t done = 0, pages;
	unsigned int s;
	int ret;

	ret = look_up(range, page, n, &old);
	if (ret)
		return ret;
	for (s = 0; s < old.nr; s++) {
		pages = min(pages_of(&old.segments[s]), n - done);
		write_frames(entries + done, frame_of(&old.segments[s]), pages);
		done += pages;
	}
	return done ? (int64_t)done : -ERANGE;
}

/*
 * Counts pages that are the pinned ones by their entries: with CAP_SYS_ADMIN these have the frames,
 * which mostly are the bus addresses' as well.
 */
static uint64_t count_same(const struct range *range, uint64_t page, const uint64_t *entries,
			   uint64_t n)
{
	uint64_t frame = range->pin->frame + range->offset + (page - range->start), i = 0;

	if (range->pin->frame != NO_FRAME && entries[0] & ENTRY_FRAME)
		while (i < n && (entries[i] & ENTRY_FRAME) == frame + i)
			i++;
	return i;
}

/*
 * Answers some of @n entries, whose pages are present. @all: bits that all entries have. Returns
 * the number of answers.
 */
static uint64_t answer(uint64_t page, uint64_t *entries, uint64_t n, uint64_t all)
{
	struct range *range = ranges_at(page);
	int64_t done;

	if (!range) {
		range = ranges_from(page);
		if (range)
			n = min(n, range->start - page);
		if (!(all & ENTRY_SHARED))
			n = count_of_kind(entries, n);
		done = pin_more(page, n, entries[0] & ENTRY_SHARED, &range);
		if (done)
			goto refuse;
	}
	n = min(n, range->end - page);
	if (range->pin->made != serial) {
		/* If the function of the pin is gone, pin the pages for another one. */
		if (look_up(range, page, 1, &old))
			done = replace(page, count_of_kind(entries, n), entries[0] & ENTRY_SHARED);
		else if (!(done = (int64_t)count_same(range, page, entries, n)))
			done = check(range, page, n);
		if (done < 0)
			goto refuse;
		if (!done)
			return 0;
		n = (uint64_t)done;
	}
	done = fill(range, page, entries, n);
	if (done > 0)
		return (uint64_t)done;
refuse:
	node_say((int)done, page, 1);
	entries[0] = 0;
	return 1;
}

void pins_answer(uint64_t page, uint64_t *entries, size_t n)
{
	size_t i = 0, end, again = SIZE_MAX;
	const struct range *left;
	uint64_t all;

	serial++;
	if (node_is_lost())
		pins_forget();
	while (i < n) {
		end = i + count_present(entries + i, n - i, &all);
		while (i < end)
			i += answer(page + i, entries + i, end - i, all);
		while (end < n && !(entries[end] & ENTRY_PRESENT))
			end++;
		if (i < end) {
			drop_absent(page + i, page + end);
			left = ranges_from(page + i);
			/* Their check has mapped those that are left. */
			if (left && left->start < page + end && i != again &&
			    !node_read(page + i, entries + i, end - i)) {
				again = i;
				continue;
			}
		}
		/* In a swapped entry these bits are no frame, but programs do not check that. */
		for (; i < end; i++)
			entries[i] &= ~ENTRY_FRAME;
	}
}

void pins_forget(void)
{
	ranges_forget();
	window.pin = 0;
	live = 0;
	swept = 0;
	next_page = 0;
	last_size = 0;
	last_huge = false;
}
