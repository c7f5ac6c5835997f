/* SPDX-License-Identifier: MIT */
/*
 * Users of huge pages: programs, and files in hugetlbfs. A file keeps its pages until it is
 * removed, also after its program has ended.
 */
#ifndef HUGEFILES_H
#define HUGEFILES_H

#include <stdbool.h>
#include <stddef.h>

#include "mountinfo.h"

/**
 * struct hugeusers - programs that have mapped huge pages
 * @pids:	their process IDs
 * @n:		number of @pids
 * @text:	"dpdk-testpmd[123], fio[124]", or ""
 */
struct hugeusers {
	int *pids;
	size_t n;
	char text[256];
};

void hugeusers_read(struct hugeusers *users);
void hugeusers_free(struct hugeusers *users);

/**
 * struct hugefiles - files with huge pages that no program has mapped
 * @pages:	number of their pages
 * @dpdk:	part of @pages in files that DPDK and SPDK remove when they start
 * @names:	for a shell: "/hugepages/left* /hugepages/x", or ""
 */
struct hugefiles {
	unsigned long long pages, dpdk;
	char names[512];
};

/* Looks where process @pid (a number or self) sees hugetlbfs with pages of @size bytes. */
void hugefiles_read(struct hugefiles *files, const char *pid, unsigned long long size,
		    const struct hugeusers *users);

/* Returns the page size of a mount, or 0 if it is not hugetlbfs. */
unsigned long long hugetlbfs_page_size(const struct mountinfo *mount);

#endif
