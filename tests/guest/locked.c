// SPDX-License-Identifier: MIT
/*
 * The calls of /dev/flatiommu in a locked down kernel. Lockdown cannot be undone: only tests of
 * lockdown may follow.
 */
#include <errno.h>
#include <unistd.h>

#include "devices.h"
#include "devnode.h"
#include "kmsg.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define LOCKDOWN "/sys/kernel/security/lockdown"

static const char *const devices[] = { EDU, NULL };
static int flat = -1;
static uint32_t pin;
static char *pages;

static int begin(void **state)
{
	int ret = flat_begin(devices);

	(void)state;
	if (ret)
		return ret;
	pages = mem_pages(2);
	flat = flat_open();
	if (!pages || flat < 0 || flat_pin(flat, EDU, pages, PAGE, 0, &pin))
		return -1;
	/* A test before this one may have done so. */
	write_text(LOCKDOWN, "integrity");
	return 0;
}

static int end(void **state)
{
	(void)state;
	close_fd(&flat);
	return flat_end(devices);
}

static void nothing_is_pinned(void **state)
{
	uint32_t another;

	(void)state;
	expect(0, log_mark());
	expect(-EACCES, flat_pin(flat, EDU, pages + PAGE, PAGE, 0, &another));
	assert_int_not_equal(log_count(EDU ": not for programs, as the kernel is locked down"), 0);
}

static void nothing_is_declared(void **state)
{
	(void)state;
	expect(-EACCES, flat_declare(flat, EDU));
	expect(FLATIOMMU_STATE_BUS_ADDRESSES | FLATIOMMU_STATE_CLAIMED, flat_state(flat, EDU));
}

static void what_was_before_goes_on(void **state)
{
	(void)state;
	assert_int_equal(flat_address_in_pin(flat, EDU, pin, 0), bus_address(pages));
	expect(0, flat_unpin(flat, pin));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_pinned),
		cmocka_unit_test(nothing_is_declared),
		cmocka_unit_test(what_was_before_goes_on),
	};

	if (access(LOCKDOWN, F_OK))
		skip_all("this kernel has no lockdown");
	return run_group(tests, begin, end);
}
