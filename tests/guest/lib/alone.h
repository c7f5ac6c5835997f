/* SPDX-License-Identifier: MIT */
/* For tests of pins: edu as VFIO opens it, with nothing mapped, and /dev/flatiommu. edu can do DMA. */
#ifndef TEST_ALONE_H
#define TEST_ALONE_H

#include "vfio.h"

extern struct alone {
	struct vfio_dev edu;
	int container, flat;
	long pins_before;	/* before the files were opened */
} alone;

/* Set-up and teardown of a test. The teardown also frees huge pages. */
int alone_open(void **state);
int alone_close(void **state);

#endif
