// SPDX-License-Identifier: MIT
/* /dev/flatiommu, called for functions that a real IOMMU translates for. */
#include <errno.h>

#include "devices.h"
#include "devnode.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

static int flat = -1;

static int begin(void **state)
{
	(void)state;
	if (flat_load())
		return -1;
	flat = flat_open();
	return flat < 0 ? flat : 0;
}

static int end(void **state)
{
	(void)state;
	close_fd(&flat);
	return flat_unload();
}

static void info(void **state)
{
	(void)state;
	expect(FLATIOMMU_STATE_TRANSLATED, flat_state(flat, EDU));
	/* Its group is not one of ours. */
	expect(-ENOENT, flat_state_of_group(flat, expect_good(pci_group(EDU))));
}

/* Bus addresses are none of its device's. */
static void pin(void **state)
{
	long before = pins();
	char *page = mem_pages(1);
	uint32_t number;

	(void)state;
	assert_non_null(page);
	expect(-EALREADY, flat_pin(flat, EDU, page, PAGE, 0, &number));
	assert_int_equal(pins(), before);
	mem_free(page, PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(info),
		cmocka_unit_test(pin),
	};

	return run_group(tests, begin, end);
}
