/* SPDX-License-Identifier: MIT */
/* With its neighbours: what module/function.c needs of the kernel, for a program that runs it. */
#ifndef FUZZ_KERNEL_TYPES_H
#define FUZZ_KERNEL_TYPES_H

#include_next <linux/types.h>

#include <stdbool.h>
#include <stddef.h>

typedef __u64 u64;

#endif
