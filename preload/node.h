/* SPDX-License-Identifier: MIT */
/*
 * The interface to the kernel: /dev/flatiommu for the functions that this program may use, and the
 * true pagemap. tests/unit/pagemap has another implementation. Pages and frames are numbers. The
 * lock is held.
 */
#ifndef PRELOAD_NODE_H
#define PRELOAD_NODE_H

#include <linux/flatiommu.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Maximum number of segments of one call. */
#define NODE_SEGMENTS 512

/**
 * struct answer - addresses of pages
 * @pin:	the pin that they are in
 * @pages:	number of pages in the segments; may be less than was asked for
 * @nr:		number of segments
 * @segments:	the segments, of whole pages
 */
struct answer {
	uint32_t pin;
	uint64_t pages;
	unsigned int nr;
	struct flatiommu_segment segments[NODE_SEGMENTS];
};

/* Returns log2 of the page size. */
unsigned int node_page_shift(void);

/* Pins pages. Returns 0 or an error of FLATIOMMU_PIN, also if the first page has no bus address. */
int node_pin(uint64_t page, uint64_t pages, struct answer *answer);
/* Looks up pages of answer->pin, from its page @offset on: at most @most segments. */
int node_look_up(uint64_t offset, uint64_t pages, unsigned int most, struct answer *answer);
void node_unpin(uint32_t pin);

/* Reads entries of this process's pagemap. Returns 0 or -errno. */
int node_read(uint64_t page, uint64_t *entries, size_t n);

/*
 * Are all pages present, and of the same kind? Sets *@shared if that is shared memory. Returns 1, 0,
 * or -errno: then their entries have to be read.
 */
int node_are_present(uint64_t page, uint64_t pages, bool *shared);

/*
 * Counts pages that are alike, from @page on, at least 1 of @n. Sets *@there if they are in memory,
 * also if they are not mapped now. Private pages that are not mapped are not there.
 */
uint64_t node_count_there(uint64_t page, uint64_t n, bool *there);

/* The program has opened @path. If it uses a function by that, stops the function at its end. */
void node_uses(const char *path);
/*
 * Has the program closed this library's files, by a call that the library does not see? Then the
 * kernel has ended all pins. The caller forgets them, and the next pin begins anew.
 */
bool node_is_lost(void);
/* Is @fd a file of this library, which the program must not close? */
bool node_has(int fd);
/* Returns the first file of this library from @fd on, or -1. */
int node_next(int fd);
/* Moves this library's file: the program is about to use @fd. Returns 0 or -errno. */
int node_make_way(int fd);
/* In a child: the pins are those of @parent, and last as long as any process has the node open. */
void node_forget(pid_t parent);

/* A pagemap is being opened: try again after an earlier failure. */
void node_retry(void);

/* Prints why pages cannot be answered, with the cure. */
void node_say(int err, uint64_t page, uint64_t pages);

#endif
