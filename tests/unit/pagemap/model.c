// SPDX-License-Identifier: MIT
#include "model.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../preload/node.h"
#include "../../../preload/pins.h"
#include "../../../preload/ranges.h"

#define PAGES	2048u
#define HUGE	512u
/* Of the first page: where a page of 1 GiB could begin. */
#define BASE	(0x1fcull << 18)
#define MOST_PINS 65536u

#define CHECK(is_so) do { if (!(is_so)) die(#is_so, __LINE__); } while (0)

unsigned int (*model_next)(unsigned int limit);

/**
 * struct page - of the program's memory
 * @frame:	0 for none
 * @hole:	there is none, but a pin would make one
 * @shared:	the kernel may unmap it for a while
 * @unmapped:	it has done so
 * @stubborn:	it cannot be pinned
 * @told:	the program knows the frame, and has not let go of it
 */
static struct page {
	uint64_t frame;
	bool hole, shared, unmapped, stubborn, told;
} pages[PAGES];

/* What a pin holds: frames, one after another. */
static struct kernel_pin {
	uint64_t *frames;
	uint64_t n;
	unsigned int function;
} pins[MOST_PINS];

static uint64_t next_frame;
static unsigned int nr_held, nr_pins, function, limit;
static uint16_t *held;
#define MOST_FRAMES (1u << 24)

static void die(const char *what, int line)
{
	fprintf(stderr, "pagemap: line %d: %s\n", line, what);
	abort();
}

/* The kernel. */

unsigned int node_page_shift(void)
{
	return 12;
}

static void add_segment(struct answer *answer, uint64_t frame)
{
	struct flatiommu_segment *last = answer->nr ? &answer->segments[answer->nr - 1] : NULL;

	if (last && last->address + last->length == frame << 12)
		last->length += 1 << 12;
	else
		answer->segments[answer->nr++] = (struct flatiommu_segment){ frame << 12, 1 << 12, 0, 0 };
}

static void tell(const uint64_t *frames, uint64_t n, unsigned int most, struct answer *answer)
{
	uint64_t i;

	answer->nr = 0;
	for (i = 0; i < n; i++) {
		if (answer->nr == most &&
		    answer->segments[answer->nr - 1].address + answer->segments[answer->nr - 1].length !=
		    frames[i] << 12)
			break;
		add_segment(answer, frames[i]);
	}
	answer->pages = i;
}

int node_pin(uint64_t page, uint64_t n, struct answer *answer)
{
	uint64_t i, at = page - BASE;
	struct kernel_pin *pin;
	uint32_t id;

	CHECK(n && nr_pins < MOST_PINS / 2);
	if (page < BASE || at + n > PAGES)
		return -EFAULT;
	for (i = 0; i < n; i++)
		if ((!pages[at + i].frame && !pages[at + i].hole) || pages[at + i].stubborn)
			return -EFAULT;
	if (nr_held + n > limit)
		return -ENOMEM;
	/* The kernel's numbers are the lowest ones. */
	for (id = 1; pins[id].frames; id++)
		;
	pin = &pins[id];
	pin->frames = malloc(n * sizeof(*pin->frames));
	pin->n = n;
	pin->function = function;
	for (i = 0; i < n; i++) {
		if (!pages[at + i].frame)
			pages[at + i].frame = ++next_frame;
		pages[at + i].hole = false;
		pages[at + i].unmapped = false;
		pin->frames[i] = pages[at + i].frame;
		held[pin->frames[i]]++;
	}
	nr_held += n;
	nr_pins++;
	answer->pin = id;
	tell(pin->frames, n, NODE_SEGMENTS, answer);
	return 0;
}

int node_look_up(uint64_t offset, uint64_t n, unsigned int most, struct answer *answer)
{
	const struct kernel_pin *pin = &pins[answer->pin];

	CHECK(answer->pin && pin->frames && n && offset + n <= pin->n);
	if (pin->function != function)
		return -ENODEV;
	tell(pin->frames + offset, n, most, answer);
	return 0;
}

void node_unpin(uint32_t id)
{
	struct kernel_pin *pin = &pins[id];
	uint64_t i;

	CHECK(pin->frames);
	for (i = 0; i < pin->n; i++)
		held[pin->frames[i]]--;
	nr_held -= pin->n;
	nr_pins--;
	free(pin->frames);
	pin->frames = NULL;
}

int node_read(uint64_t page, uint64_t *entries, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		uint64_t at = page + i - BASE;

		/* what is not there may be somewhere else */
		entries[i] = at < PAGES && pages[at].frame && !pages[at].unmapped ?
			     ENTRY_PRESENT | (pages[at].shared ? ENTRY_SHARED : 0) : at & 1;
	}
	return 0;
}

/* Kernels up to 6.6 do not answer. */
int node_are_present(uint64_t page, uint64_t n, bool *shared)
{
	uint64_t i, at = page - BASE;

	if (model_next(2))
		return -ENOTTY;
	*shared = at < PAGES && pages[at].shared;
	for (i = at; i < at + n; i++)
		if (i >= PAGES || !pages[i].frame || pages[i].unmapped || *shared != pages[i].shared)
			return 0;
	return 1;
}

uint64_t node_count_there(uint64_t page, uint64_t n, bool *there)
{
	uint64_t at = page - BASE, i;

	CHECK(n && at + n <= PAGES);
	*there = pages[at].frame;
	for (i = 1; i < n && !pages[at + i].frame == !pages[at].frame && model_next(8); i++)
		;
	return i;
}

bool node_is_lost(void)
{
	return false;
}

void node_say(int err, uint64_t page, uint64_t n)
{
	CHECK(err == -EFAULT || err == -ENOMEM);
	CHECK(n == 1 && page >= BASE);
}

/* The program. */

static void unmap(unsigned int at, unsigned int n)
{
	memset(pages + at, 0, n * sizeof(*pages));
}

static void map(unsigned int at, unsigned int n, bool shared, bool scattered)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		next_frame += scattered ? 1 + model_next(2) : 1;
		pages[at + i] = (struct page){ .frame = next_frame, .shared = shared };
	}
	CHECK(next_frame < MOST_FRAMES);
}

static void map_huge(unsigned int at, bool shared)
{
	unsigned int i;

	next_frame = (next_frame + 2 * HUGE) & ~(uint64_t)(HUGE - 1);
	for (i = 0; i < HUGE; i++)
		pages[at + i] = (struct page){ .frame = next_frame + i, .shared = shared };
	next_frame += HUGE;
}

/* What it knows of and has not let go is pinned, whatever else became of it. */
static void check_held(void)
{
	const struct range *range;
	uint64_t page = 0;
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		CHECK(!pages[i].told || held[pages[i].frame]);
	/* no two ranges overlap */
	while ((range = ranges_from(page))) {
		CHECK(range->start >= page && range->end > range->start && range->pin->refs);
		page = range->end;
	}
}

static void read_pages(unsigned int at, unsigned int n)
{
	static uint64_t entries[PAGES];
	static bool unmapped[PAGES];
	unsigned int i;

	if (n > PAGES - at)
		n = PAGES - at;
	/* of these the kernel says that they are not present */
	for (i = 0; i < n; i++)
		unmapped[i] = pages[at + i].unmapped && !pages[at + i].told;
	node_read(BASE + at, entries, n);
	pins_answer(BASE + at, entries, n);
	for (i = 0; i < n; i++) {
		struct page *page = &pages[at + i];

		CHECK(!(entries[i] & ENTRY_PRESENT) ? !(entries[i] & ENTRY_FRAME) :
		      (entries[i] & ENTRY_FRAME) == page->frame);
		/* where there is no limit all that can be pinned is */
		CHECK(entries[i] & ENTRY_PRESENT ||
		      !page->frame || page->stubborn || unmapped[i] || limit != UINT32_MAX);
		page->told |= entries[i] >> 63;
	}
	check_held();
}

static void move(unsigned int at, unsigned int n, unsigned int to)
{
	static struct page moving[PAGES];

	if (to + n > at && to < at + n)
		return;
	memcpy(moving, pages + at, n * sizeof(*pages));
	unmap(at, n);
	memcpy(pages + to, moving, n * sizeof(*pages));
	pins_drop(BASE + to, BASE + to + n);
	pins_move(BASE + at, BASE + at + n, BASE + to);
}

void model_begin(void)
{
	if (!held)
		held = malloc(MOST_FRAMES * sizeof(*held));
	memset(held, 0, (next_frame + PAGES) * sizeof(*held));
	next_frame = HUGE;
	limit = UINT32_MAX;
	memset(pages, 0, sizeof(pages));
}

void model_step(void)
{
	unsigned int at = model_next(PAGES), n = 1 + model_next(model_next(4) ? 40 : 1000), i;
	bool hole;

	if (n > PAGES - at)
		n = PAGES - at;
	switch (model_next(16)) {
	case 0:
	case 1:
		unmap(at, n);
		pins_drop(BASE + at, BASE + at + n);
		map(at, n, model_next(2), model_next(2));
		break;
	case 2:
		at &= ~(HUGE - 1);
		unmap(at, HUGE);
		pins_drop(BASE + at, BASE + at + HUGE);
		map_huge(at, model_next(2));
		break;
	case 3:
		unmap(at, n);
		pins_drop(BASE + at, BASE + at + n);
		break;
	case 4:
		/* libc or the program unmaps, and maybe maps again, and nobody sees it */
		for (i = at; i < at + n && pages[i].frame; i++)
			;
		unmap(at, i - at);
		if (model_next(2))
			map(at, i - at, model_next(2), model_next(2));
		break;
	case 5:
		/* a file was truncated, or has a hole */
		hole = model_next(2);
		for (i = at; i < at + n; i++)
			pages[i] = (struct page){ .hole = hole && (pages[i].frame || pages[i].hole),
						  .shared = pages[i].shared };
		if (model_next(2)) {
			for (i = 0; i < n; i += 7)
				pages[at + i].hole = false;
		}
		pins_sweep(model_next(2));
		/* which is no reason to fill it */
		for (i = at; i < at + n; i++)
			CHECK(!pages[i].frame);
		break;
	case 12:
		/* the kernel tries to swap out or to move */
		for (i = at; i < at + n; i++)
			pages[i].unmapped = pages[i].frame && pages[i].shared && model_next(4);
		pins_sweep(model_next(2));
		break;
	case 6:
		i = model_next(PAGES);
		if (n > PAGES - i)
			n = PAGES - i;
		move(at, n, i);
		break;
	case 7:
		if (pages[at].frame && !pages[at].told)
			pages[at].stubborn = true;
		break;
	case 8:
		if (!model_next(8))
			function++;
		break;
	case 9:
		limit = model_next(3) ? UINT32_MAX : model_next(2 * PAGES);
		break;
	case 10:
		/* as a driver does that asks page by page */
		for (i = 0; i < n; i++)
			read_pages(at + i, 1);
		break;
	case 11:
		read_pages(0, PAGES);
		break;
	default:
		read_pages(at, n);
	}
	check_held();
}

void model_end(void)
{
	unmap(0, PAGES);
	pins_sweep(true);
	CHECK(!nr_held && !nr_pins);
	CHECK(!ranges_from(0));
	pins_forget();
}

void model_unseen(unsigned int times)
{
	/* what may be pinned before anything is looked for, and as much again */
	const unsigned int most = 2 * (64 + 64 * HUGE);
	unsigned int i;

	for (i = 0; i < times; i++) {
		map(0, 64, false, true);
		read_pages(0, 64);
		unmap(0, 64);
		/* the same addresses are another buffer at times */
		if (i & 1)
			map(64, 64, false, true), read_pages(64, 64), unmap(64, 64);
		CHECK(nr_held <= most);
	}
}
