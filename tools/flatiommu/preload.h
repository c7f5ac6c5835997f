/* SPDX-License-Identifier: MIT */
/*
 * The library that answers pagemap from pins, and which programs the dynamic linker loads it
 * into.
 */
#ifndef PRELOAD_H
#define PRELOAD_H

#include <stdbool.h>
#include <stddef.h>

/* Its path, or "" when it is not there. */
void preload_find(char *path, size_t size);
/* Why it is not loaded into a program, or NULL; of one that is not there NULL, too. */
const char *preload_not_for(const char *program);
/* Has programs that are started from now on load it. 0 or -errno. */
int preload_set(const char *path);

#endif
