/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls of /dev/exporter. */
#ifndef EXPORTER_H
#define EXPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define EXPORTER_PAGES 4

/* What a dma-buf of /dev/exporter is. */
enum exporter_kind {
	EXPORTER_MEMORY,	/* its last page, and then the others */
	EXPORTER_MOVES,		/* the same; it may move, unless it is pinned */
	EXPORTER_REGISTERS,	/* addresses from @address on */
	EXPORTER_UNEVEN,	/* pieces that are no whole pages */
	EXPORTER_SHORT,		/* all but one of its pages */
	EXPORTER_BUSY,		/* it cannot be mapped now */
	EXPORTER_PEERS,		/* for devices that reach registers only */
};

/**
 * struct exporter_buffer - a new dma-buf
 * @kind:	enum exporter_kind
 * @flags:	of its file: O_RDONLY or O_RDWR
 * @address:	of EXPORTER_REGISTERS; else set to the physical address of its pages, the
 *		last of which comes first
 */
struct exporter_buffer {
	__u32 kind;
	__u32 flags;
	__u64 address;
};

/* Returns its file descriptor. */
#define EXPORTER_MAKE _IOWR('f', 0x78, struct exporter_buffer)

#endif
