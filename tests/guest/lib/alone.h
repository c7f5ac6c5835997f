/* SPDX-License-Identifier: MIT */
/* Set-up for tests of pins: /dev/flatiommu, and edu by VFIO: nothing is mapped, it can do DMA. */
#ifndef TEST_ALONE_H
#define TEST_ALONE_H

#include "vfio.h"

extern struct alone {
	struct vfio_dev edu;
	int container, flat;
	long pins_before;	/* before the files were opened */
} alone;

/* Set-up of a test. The second one also declares edu. */
int alone_open(void **state);
int alone_open_declared(void **state);

/* Teardown of a test. The first one also frees huge pages, of which none may be mapped. */
int alone_close(void **state);
int alone_close_files(void **state);

#endif
