// SPDX-License-Identifier: MIT
#include "fixture.h"

#include "mem.h"
#include "sysfs.h"

const char *const *fixture_devices;

int fixture_begin(void **state)
{
	(void)state;
	return flat_begin(fixture_devices);
}

int fixture_end(void **state)
{
	(void)state;
	huge_pages(0);
	return flat_end(fixture_devices);
}
