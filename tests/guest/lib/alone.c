// SPDX-License-Identifier: MIT
#include "alone.h"

#include "devices.h"
#include "devnode.h"
#include "mem.h"
#include "sysfs.h"

struct alone alone = { VFIO_DEV_INIT, -1, -1, 0 };

int alone_open(void **state)
{
	int ret;

	(void)state;
	alone.pins_before = pins();
	ret = vfio_open_alone(&alone.edu, &alone.container, EDU);
	if (ret)
		return ret;
	alone.flat = flat_open();
	return alone.flat < 0 ? alone.flat : 0;
}

int alone_open_declared(void **state)
{
	int ret = alone_open(state);

	return ret ? ret : flat_declare(alone.flat, EDU);
}

int alone_close_files(void **state)
{
	(void)state;
	vfio_close(&alone.edu);
	close_fd(&alone.container);
	close_fd(&alone.flat);
	return 0;
}

int alone_close(void **state)
{
	alone_close_files(state);
	return huge_pages(0);
}
