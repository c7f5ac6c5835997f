/* SPDX-License-Identifier: MIT */
/*
 * Where something is: ranges of addresses that may overlap, and what has a given address, in O(log
 * n).
 */
#ifndef LIB_PLACE_H
#define LIB_PLACE_H

#include <stdint.h>

/* A treap, by where ranges start; each knows where the last one of its subtree ends. */
struct place {
	uintptr_t start;
	uintptr_t end;		/* behind the last byte */
	uintptr_t last_end;
	uint32_t priority;
	struct place *left, *right;
};

/* @start and @end of @place are set. */
void place_insert(struct place **root, struct place *place);
void place_remove(struct place **root, struct place *place);
/* One that has @at, or NULL. */
struct place *place_find(struct place *root, uintptr_t at);

#endif
