/* SPDX-License-Identifier: MIT */
/*
 * Who has huge pages: programs, and files in hugetlbfs, which hold theirs until they are removed,
 * whoever has ended meanwhile.
 */
#ifndef HUGEFILES_H
#define HUGEFILES_H

#include <stdbool.h>
#include <stddef.h>

#include "mounts.h"

/**
 * struct hugeusers - programs that have mapped huge pages
 * @pids:	which
 * @n:		how many
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
 * struct hugefiles - files that hold pages, and that no program has mapped
 * @pages:	how many they hold
 * @dpdk:	of these, in files that DPDK and SPDK remove as they start
 * @names:	for a shell: "/hugepages/left* /hugepages/x", or ""
 */
struct hugefiles {
	unsigned long long pages, dpdk;
	char names[512];
};

/* Looks where process @pid (a number or self) sees hugetlbfs with pages of @size bytes. */
void hugefiles_read(struct hugefiles *files, const char *pid, unsigned long long size,
		    const struct hugeusers *users);

/* Page size of a mount, 0 if it is not hugetlbfs. */
unsigned long long hugetlbfs_page_size(const struct mount *mount);

#endif
