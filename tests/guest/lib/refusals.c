// SPDX-License-Identifier: MIT
#include "refusals.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/flatiommu.h>
#include <string.h>
#include <unistd.h>

#include "kmsg.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

const struct cause zero_page = {
	"zero-page", "zero page", "write to it", false,
};

const struct cause unreachable = {
	"unreachable", "no bus address for all of the memory", "map other memory", false,
};

const struct cause lookup_iova = {
	"lookup-iova", "the IOVA is below 2^46, or memory or a PCI window is at it", "from 2^46 on where nothing is", false,
};

const struct cause virtual_address = {
	"virtual-address", "virtual address of the program", "--iova-mode=pa", false,
};

const struct cause other_page = {
	"other-page", "another page is at that address", "look the address up again", false,
};

const struct cause no_address = {
	"no-bus-address", "no memory has that bus address", "map at the bus address", true,
};

int refusals_of(pid_t pid, struct refusals *r)
{
	char text[4096], *line, *rest = text;
	int ret = read_text(MISC "refusals", text, sizeof(text)), id;

	memset(r, 0, sizeof(*r));
	if (ret < 0)
		return ret;
	while ((line = strsep(&rest, "\n"))) {
		if (sscanf(line, "%d %llu %31s %31s %31[^\n]", &id, &r->count, r->device, r->cause,
			   r->program) == 5 && id == pid)
			return 0;
		memset(r, 0, sizeof(*r));
	}
	return 0;
}

static void expect_line(const char *line, const char *needle)
{
	if (strstr(line, needle))
		return;
	print_error("\"%s\" is not in the kernel log: %s\n", needle, line);
	fail();
}

static void expect_log(const char *device, uint64_t phys, uint64_t iova, size_t size,
		       const struct cause *cause)
{
	unsigned int lines;
	const char *line = log_lines("flatiommu", &lines);
	char number[32];

	if (lines != 1) {
		print_error("%u lines of flatiommu in the kernel log: %s\n", lines, line);
		fail();
	}
	expect_line(line, device);
	expect_line(line, cause->text);
	expect_line(line, cause->cure);
	snprintf(number, sizeof(number), "%#" PRIx64, iova);
	/* Not one that may be the program's own. */
	if (cause->tells_iova && iova < FLATIOMMU_LOOKUP_FIRST) {
		expect_line(line, number);
	} else if (iova && strstr(line, number)) {
		print_error("the kernel log has an address that not all may know: %s\n", line);
		fail();
	}
	snprintf(number, sizeof(number), "%zu bytes", size);
	expect_line(line, number);
	snprintf(number, sizeof(number), "[%d]", (int)getpid());
	expect_line(line, number);
	if (phys == iova)
		return;
	snprintf(number, sizeof(number), "%" PRIx64, phys);
	if (strstr(line, number)) {
		print_error("the kernel log has a physical address: %s\n", line);
		fail();
	}
}

static void expect_refusal(int (*map)(int, const void *, uint64_t, size_t), int container,
			   const char *device, const void *addr, uint64_t iova, size_t size,
			   const struct cause *cause)
{
	struct refusals before, after;
	char program[16] = "";

	expect(0, refusals_of(getpid(), &before));
	expect(0, log_mark());
	expect(-EADDRNOTAVAIL, map(container, addr, iova, size));
	/* Where the page is since it was pinned. */
	expect_log(device, bus_address(addr), iova, size, cause);
	expect(0, refusals_of(getpid(), &after));
	assert_int_equal(after.count, before.count + 1);
	assert_string_equal(after.device, device);
	assert_string_equal(after.cause, cause->name);
	expect_good(read_text("/proc/self/comm", program, sizeof(program)));
	assert_string_equal(after.program, program);
}

void expect_refused(int container, const char *device, const void *addr, uint64_t iova, size_t size,
		    const struct cause *cause)
{
	expect_refusal(vfio_map, container, device, addr, iova, size, cause);
}

void expect_refused_read(int container, const char *device, const void *addr, uint64_t iova,
			 size_t size, const struct cause *cause)
{
	expect_refusal(vfio_map_read, container, device, addr, iova, size, cause);
}
