/* SPDX-License-Identifier: MIT */
/* For tests of pins: edu as VFIO opens it, with nothing mapped, and /dev/flatiommu. It does DMA all the same. */
#ifndef TEST_ALONE_H
#define TEST_ALONE_H

#include "vfio.h"

extern struct alone {
	struct vfio_dev edu;
	int container, flat;
	long pins_before;	/* they were opened */
} alone;

/* Before and after each test; huge pages are given back, too. */
int alone_open(void **state);
int alone_close(void **state);

#endif
