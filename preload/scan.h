/* SPDX-License-Identifier: MIT */
/* Which pages are present, without an entry of pagemap for each: Linux 6.7 and later. */
#ifndef PRELOAD_SCAN_H
#define PRELOAD_SCAN_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Are all pages from @start to @end present? @map is /proc/self/pagemap. Sets *@shared if all of
 * them are of shared memory. Returns
 * 1		yes
 * 0		no
 * -E2BIG	the answer is too long
 * or another -errno if this kernel does not answer.
 */
int scan_present(int map, uint64_t start, uint64_t end, bool *shared);

#endif
