/* SPDX-License-Identifier: MIT */
/* Set-up for most tests of the module: loads the module, and claims functions. */
#ifndef TEST_FIXTURE_H
#define TEST_FIXTURE_H

#include "test.h"

/*
 * As run_group(), with @devices, an array that ends with NULL: they are claimed first. In the end
 * huge pages and devices are given back, and the module is unloaded, which also shows that nothing
 * of it is in use any more.
 */
#define run_with(devices, tests) \
	(fixture_devices = (devices), run_group(tests, fixture_begin, fixture_end))

extern const char *const *fixture_devices;

int fixture_begin(void **state);
int fixture_end(void **state);

#endif
