/* SPDX-License-Identifier: MIT */
/*
 * The preloaded library that answers pagemap from pins, and the programs that can load it.
 */
#ifndef PRELOAD_H
#define PRELOAD_H

#include <stdbool.h>
#include <stddef.h>

#define PRELOAD_NAME "libflatiommu-pagemap.so"

/* Writes its path, or "" if it is missing. */
void preload_find(char *path, size_t size);
/* Returns why a program would not load it, or NULL; NULL also if the program does not exist. */
const char *preload_not_for(const char *program);
/* Makes programs that are started from now on load it. Returns 0 or -errno. */
int preload_set(const char *path);

#endif
