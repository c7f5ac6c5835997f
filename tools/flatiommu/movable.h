/* SPDX-License-Identifier: MIT */
/* Are there huge pages in ZONE_MOVABLE? The kernel moves them out of it when they are pinned. */
#ifndef MOVABLE_H
#define MOVABLE_H

enum movable {
	NOT_MOVABLE,	/* no, or the machine has no ZONE_MOVABLE */
	MOVABLE,
	MOVABLE_UNSEEN,	/* the machine has ZONE_MOVABLE, and only root sees its pages */
};

/* @size: bytes of the smallest huge pages */
enum movable movable_read(unsigned long long size);

#endif
