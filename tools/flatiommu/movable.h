/* SPDX-License-Identifier: MIT */
/* Huge pages in ZONE_MOVABLE: the kernel moves them out as they are pinned. */
#ifndef MOVABLE_H
#define MOVABLE_H

enum movable {
	NOT_MOVABLE,	/* there are none, or there is no such memory */
	MOVABLE,
	MOVABLE_UNSEEN,	/* there is such memory, and only root sees what is there */
};

/* @size is that of the smallest huge pages. */
enum movable movable_read(unsigned long long size);

#endif
