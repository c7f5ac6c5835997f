/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls of /dev/floor. */
#ifndef FLOOR_H
#define FLOOR_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct floor_pin - memory to be pinned, until FLOOR_UNPIN
 * @addr:	its start, at a page
 * @size:	bytes, of whole pages
 * @step:	pages that one pin is for
 */
struct floor_pin {
	__u64 addr;
	__u64 size;
	__u64 step;
};

/* Room for so many pages, before any are pinned. */
#define FLOOR_ROOM _IO('f', 0x70)
#define FLOOR_PIN _IO('f', 0x71)
#define FLOOR_UNPIN _IO('f', 0x72)

#endif
