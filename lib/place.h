/* SPDX-License-Identifier: MIT */
/*
 * A tree of address ranges, which may overlap. Finds a range with a given address in O(log n).
 */
#ifndef LIB_PLACE_H
#define LIB_PLACE_H

#include <stdint.h>

/* A range, and a node of a treap that is sorted by start. @last_end: highest end in its subtree. */
struct place {
	uintptr_t start;
	uintptr_t end;		/* after the last byte */
	uintptr_t last_end;
	uint32_t priority;
	struct place *left, *right;
};

/* @start and @end of @place are set. */
void place_insert(struct place **root, struct place *place);
void place_remove(struct place **root, struct place *place);
/* Returns a place that contains @at, or NULL. */
struct place *place_find(struct place *root, uintptr_t at);

#endif
