// SPDX-License-Identifier: MIT
/*
 * mlock is not a pin: locked memory moves from one NUMA node to the other, and its bus address
 * changes under the device. Memory that flatiommu pins does not move until it is unpinned.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "devices.h"
#include "devnode.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define NODE "/sys/devices/system/node/node%d/"

static bool loaded_here;
static int flat = -1;

/* A huge page on each node, for hugetlb's to move to. */
static int set_huge_pages(const char *count)
{
	char path[128];
	int node, ret = 0;

	for (node = 0; node < 2 && !ret; node++) {
		snprintf(path, sizeof(path), NODE "hugepages/hugepages-%zukB/nr_hugepages", node,
			 HUGE_PAGE >> 10);
		ret = write_text(path, count);
	}
	return ret;
}

static int begin(void **state)
{
	(void)state;
	loaded_here = !module_is_loaded("flatiommu");
	if (loaded_here && flat_load())
		return -1;
	flat = flat_open();
	return flat < 0 ? flat : 0;
}

static int end(void **state)
{
	(void)state;
	close_fd(&flat);
	return loaded_here ? flat_unload() : 0;
}

/* To @node, or where it is for -1: the node that it is on then, or -errno. */
static int move(void *page, int node)
{
	int status = -ENOENT;
	long left = syscall(SYS_move_pages, 0, 1ul, &page, node < 0 ? NULL : &node, &status,
			    MPOL_MF_MOVE);

	if (left < 0)
		return -errno;
	/* The page could not be moved; what the kernel means by it is in no status then. */
	return left ? -EBUSY : status;
}

/* Moves the page to the other node; tells of it. Returns whether it did. */
static bool moves(const char *what, char *page)
{
	uint64_t before = bus_address(page), after;
	int from = move(page, -1), status;

	assert_true(from >= 0 && from <= 1);
	status = move(page, !from);
	after = bus_address(page);
	if (status == !from && move(page, -1) == !from) {
		assert_int_not_equal(after, before);
		print_message("  %s: it moves to node %d, from %#" PRIx64 " to %#" PRIx64 "\n", what,
			      !from, before, after);
		return true;
	}
	assert_int_equal(move(page, -1), from);
	assert_int_equal(after, before);
	print_message("  %s: it stays on node %d, at %#" PRIx64 " (%s)\n", what, from, before,
		      errno_name(status));
	return false;
}

static void only_a_pin_is_one(char *page, size_t size)
{
	uint32_t pin;

	assert_non_null(page);
	assert_int_equal(mlock(page, size), 0);
	assert_true(moves("locked by mlock", page));
	assert_true(moves("locked by mlock", page));
	expect(0, flat_pin(flat, EDU, page, size, 0, &pin));
	assert_false(moves("pinned by flatiommu", page));
	assert_int_equal(flat_address_in_pin(flat, EDU, pin, 0), bus_address(page));
	expect(0, flat_unpin(flat, pin));
	assert_true(moves("let go", page));
	mem_free(page, size);
}

static void ordinary_page(void **state)
{
	(void)state;
	print_message("  a page of 4 KiB\n");
	only_a_pin_is_one(mem_pages(1), PAGE);
}

static void huge_page(void **state)
{
	(void)state;
	print_message("  a huge page of hugetlb, 2 MiB\n");
	expect(0, set_huge_pages("2"));
	only_a_pin_is_one(mem_huge(), HUGE_PAGE);
	expect(0, set_huge_pages("0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_page),
		cmocka_unit_test(huge_page),
	};

	if (access("/sys/devices/system/node/node1", F_OK))
		skip_all("this machine has one NUMA node");
	return run_group(tests, begin, end);
}
