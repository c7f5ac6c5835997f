/* SPDX-License-Identifier: MIT */
/* Numbers as people write them. */
#ifndef NUMBERS_H
#define NUMBERS_H

#include "tool.h"

/* Parses a number: decimal or 0x..., with K, M or G for powers of 1024. */
int parse_number(struct tool *tool, unsigned long long *number, const char *text);

#endif
