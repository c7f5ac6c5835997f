/* SPDX-License-Identifier: MIT */
/*
 * The kernel: /dev/flatiommu for the functions that this program may use, and the true pagemap.
 * tests/unit/pagemap has another one. Pages and frames are numbers. The lock is held.
 */
#ifndef PRELOAD_NODE_H
#define PRELOAD_NODE_H

#include <linux/flatiommu.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As many as one call is asked for. */
#define NODE_SEGMENTS 512

/**
 * struct answer - where pages are
 * @pin:	that keeps them
 * @pages:	that the segments stand for; may be fewer than were asked for
 * @nr:		of segments
 * @segments:	of which a page's size is a divisor
 */
struct answer {
	uint32_t pin;
	uint64_t pages;
	unsigned int nr;
	struct flatiommu_segment segments[NODE_SEGMENTS];
};

/* The bytes of a page are 1 << this. */
unsigned int node_page_shift(void);

/* 0 or -errno, as FLATIOMMU_PIN: also where the first page's address cannot be told. */
int node_pin(uint64_t page, uint64_t pages, struct answer *answer);
/* Of answer->pin, from its page @offset on. */
int node_look_up(uint64_t offset, uint64_t pages, struct answer *answer);
void node_unpin(uint32_t pin);

/* Entries of this process's pagemap. 0 or -errno. */
int node_read(uint64_t page, uint64_t *entries, size_t n);

/* The program has opened a function, and is to be stopped with it. */
void node_uses(const char *path);
/* Does it keep this file open? Then the program may not close it. */
bool node_has(int fd);
/* The first such file from @fd on, or -1. */
int node_next(int fd);
/* The program is about to put another file there. 0 or -errno. */
int node_make_way(int fd);
/* This is a child: what was pinned is its parent's, and stays as long as any of them. */
void node_forget(void);

/* A pagemap is being opened: what failed before may work now. */
void node_retry(void);

/* A line on why, with the cure. */
void node_say(int err, uint64_t page, uint64_t pages);

#endif
