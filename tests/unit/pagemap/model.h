/* SPDX-License-Identifier: MIT */
/*
 * preload/pins.c on a machine of a few thousand pages, whose kernel is here: what is mapped
 * where, which frames are held by pins. Steps are taken by what next() returns.
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include <stdbool.h>

/* A number below @limit; the same ones come again when a run is repeated. */
extern unsigned int (*model_next)(unsigned int limit);

void model_begin(void);
/* One thing that a program does. What it is told, and what is pinned, is compared. */
void model_step(void);
/* All is unmapped, and nothing may be pinned any more. */
void model_end(void);
/* Buffers that libc unmaps unseen, @times, do not pile up. */
void model_unseen(unsigned int times);

#endif
