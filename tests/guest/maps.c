// SPDX-License-Identifier: MIT
/*
 * Maps that a container accepts, and maps that it refuses, with their errors. Each map can be
 * undone.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "devices.h"
#include "edu.h"
#include "fixture.h"
#include "kmsg.h"
#include "mem.h"
#include "refusals.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

/* No memory and no BAR of a machine with 1 GiB is there. */
#define NOWHERE (1ull << 40)

/* As ___ratelimit() of the kernel has them by default. */
#define LINES_A_BURST 10
#define SECONDS_A_BURST 5

#define DISABLE_HUGEPAGES "/sys/module/vfio_iommu_type1/parameters/disable_hugepages"

static const char *const devices[] = { EDU, FN1, NULL };

static struct vfio_dev edu = VFIO_DEV_INIT, edu2 = VFIO_DEV_INIT;
static int container = -1;
static long pins_before;

static int open_container(void **state)
{
	(void)state;
	pins_before = pins();
	return vfio_open_alone(&edu, &container, EDU);
}

static void close_all(void)
{
	vfio_close(&edu2);
	vfio_close(&edu);
	close_fd(&container);
}

static int close_container(void **state)
{
	(void)state;
	close_all();
	return 0;
}

/* The end of a test: what it has pinned is free again once the container is closed. */
static void expect_pins_back(void)
{
	close_all();
	assert_int_equal(pins(), pins_before);
}

/* @dev copies what is in one page to the other. */
static void copy(struct vfio_dev *dev, uint64_t from, uint64_t to)
{
	expect(0, edu_load(dev->bar0, from, EDU_COPY));
	expect(0, edu_store(dev->bar0, to, EDU_COPY));
}

static void expect_container_works(void)
{
	char *pages = mem_scattered(2);
	uint64_t from, to;

	assert_non_null(pages);
	fill(pages, PAGE, 1);
	expect(0, vfio_map_at_bus(container, pages, PAGE, &from));
	expect(0, vfio_map_at_bus(container, pages + PAGE, PAGE, &to));
	copy(&edu, from, to);
	assert_true(is_filled(pages + PAGE, EDU_COPY, 1));
	expect(0, vfio_unmap(container, from, PAGE));
	expect(0, vfio_unmap(container, to, PAGE));
	mem_free(pages, 2 * PAGE);
}

static void attach_says_nothing(void **state)
{
	close_container(state);
	expect(0, log_mark());
	expect(0, open_container(state));
	assert_int_equal(log_count("flatiommu"), 0);
	expect_pins_back();
}

static void refuses_virtual_address(void **state)
{
	char *page = mem_pages(1);

	(void)state;
	assert_non_null(page);
	expect_refused(container, EDU, page, (uintptr_t)page, PAGE, &virtual_address);
	expect_container_works();
	mem_free(page, PAGE);
	expect_pins_back();
}

static void refuses_other_page(void **state)
{
	char *pages = mem_pages(2);

	(void)state;
	assert_non_null(pages);
	expect_refused(container, EDU, pages, bus_address(pages + PAGE), PAGE, &other_page);
	expect_container_works();
	mem_free(pages, 2 * PAGE);
	expect_pins_back();
}

/* As DPDK has it: a range that it reserves has the numbers of addresses that memory has. */
static void refuses_other_page_at_a_reserved_number(void **state)
{
	char *pages = mem_pages(2), *reserved;
	uint64_t bus;

	(void)state;
	assert_non_null(pages);
	bus = bus_address(pages + PAGE);
	reserved = mmap((void *)bus, PAGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_equal(reserved, (void *)bus);
	expect_refused(container, EDU, pages, bus, PAGE, &other_page);
	munmap(reserved, PAGE);
	mem_free(pages, 2 * PAGE);
	expect_pins_back();
}

static void refuses_nowhere(void **state)
{
	char *page = mem_pages(1);

	(void)state;
	assert_non_null(page);
	expect_refused(container, EDU, page, NOWHERE, PAGE, &no_address);
	expect_container_works();
	mem_free(page, PAGE);
	expect_pins_back();
}

/* A page that was read and never written: it has an address, that of the page of zeros for all. */
static char *unwritten_page(uint64_t *bus)
{
	volatile char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(page, MAP_FAILED);
	assert_int_equal(page[0], 0);
	*bus = bus_address((char *)page);
	assert_int_not_equal(*bus, 0);
	return (char *)page;
}

static void refuses_unwritten_memory(void **state)
{
	uint64_t bus;
	char *page = unwritten_page(&bus);

	(void)state;
	expect_refused(container, EDU, page, bus, PAGE, &zero_page);
	expect_container_works();
	mem_free(page, PAGE);
	expect_pins_back();
}

/* Up to 6.1 a pin to read is one of that page: the device would read zeros for ever. */
static void refuses_unwritten_memory_to_read(void **state)
{
	uint64_t bus;
	char *page = unwritten_page(&bus);

	(void)state;
	expect_refused_read(container, EDU, page, bus, PAGE, &zero_page);
	expect_container_works();
	mem_free(page, PAGE);
	expect_pins_back();
}

/* The same for a whole huge page, which has a page of zeros of its own. */
static void refuses_unwritten_huge_page_to_read(void **state)
{
	char *space = mmap(NULL, 2 * HUGE_PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile char *page;
	uint64_t bus;

	(void)state;
	assert_ptr_not_equal(space, MAP_FAILED);
	page = (char *)(((uintptr_t)space + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	if (madvise((char *)page, HUGE_PAGE, MADV_HUGEPAGE)) {
		/* A real-time kernel has none. */
		mem_free(space, 2 * HUGE_PAGE);
		skip_for("this kernel has no transparent huge pages");
	}
	assert_int_equal(page[0], 0);
	bus = bus_address((char *)page + PAGE);
	/* Else it is the small one. */
	assert_int_not_equal(bus, 0);
	assert_int_equal(bus, bus_address((char *)page) + PAGE);
	expect_refused_read(container, EDU, (char *)page + PAGE, bus, PAGE, &zero_page);
	expect_container_works();
	mem_free(space, 2 * HUGE_PAGE);
	expect_pins_back();
}

static int map_wrongly_twice(void *arg)
{
	char *page = mem_pages(1);
	struct refusals r;
	int ret;

	(void)arg;
	if (!page || vfio_map(container, page, (uintptr_t)page, PAGE) != -EADDRNOTAVAIL ||
	    vfio_map(container, page, NOWHERE, PAGE) != -EADDRNOTAVAIL)
		return -EIO;
	ret = refusals_of(getpid(), &r);
	if (ret)
		return ret;
	return r.count == 2 && !strcmp(r.cause, no_address.name) ? 0 : -ERANGE;
}

static void counts_each_process_for_itself(void **state)
{
	struct refusals before, after;
	char *page = mem_pages(1);
	pid_t child;

	(void)state;
	assert_non_null(page);
	expect(-EADDRNOTAVAIL, vfio_map(container, page, (uintptr_t)page, PAGE));
	expect(0, refusals_of(getpid(), &before));
	child = expect_good(child_begin(map_wrongly_twice, NULL));
	expect(0, child_end(child));
	expect(0, refusals_of(getpid(), &after));
	assert_int_equal(after.count, before.count);
	assert_string_equal(after.cause, virtual_address.name);
	/* It is remembered after its end. */
	expect(0, refusals_of(child, &after));
	assert_int_equal(after.count, 2);
	mem_free(page, PAGE);
	expect_pins_back();
}

static int map_wrongly(void *page)
{
	return vfio_map(container, page, NOWHERE, PAGE);
}

/* As many are kept. */
static void forgets_the_first_of_many(void **state)
{
	char *page = mem_pages(1);
	pid_t children[33];
	struct refusals r;
	size_t i;

	(void)state;
	assert_non_null(page);
	for (i = 0; i < ARRAY_SIZE(children); i++) {
		children[i] = expect_good(child_begin(map_wrongly, page));
		expect(-EADDRNOTAVAIL, child_end(children[i]));
	}
	for (i = 0; i < ARRAY_SIZE(children); i++) {
		expect(0, refusals_of(children[i], &r));
		assert_int_equal(r.count, i != 0);
	}
	mem_free(page, PAGE);
	expect_pins_back();
}

static void log_is_limited(void **state)
{
	struct refusals before, after;
	struct timespec first, last;
	char *page = mem_pages(1);
	unsigned int i, lines;

	(void)state;
	assert_non_null(page);
	expect(0, refusals_of(getpid(), &before));
	expect(0, log_mark());
	clock_gettime(CLOCK_MONOTONIC, &first);
	for (i = 0; i < 100; i++)
		expect(-EADDRNOTAVAIL, vfio_map(container, page, (uintptr_t)page, PAGE));
	clock_gettime(CLOCK_MONOTONIC, &last);
	lines = log_count("is refused a map");
	assert_int_not_equal(lines, 0);
	/* However slow the machine is. */
	assert_true(lines <= LINES_A_BURST *
		    (unsigned int)((last.tv_sec - first.tv_sec) / SECONDS_A_BURST + 2));
	expect(0, refusals_of(getpid(), &after));
	assert_int_equal(after.count, before.count + 100);
	mem_free(page, PAGE);
	expect_pins_back();
}

/* A domain after another: the limit of each is that of all together, five times as much. */
static void log_of_all_is_limited(void **state)
{
	struct timespec first, last;
	char *page = mem_pages(1);
	unsigned int i, j, lines;

	assert_non_null(page);
	expect(0, log_mark());
	clock_gettime(CLOCK_MONOTONIC, &first);
	for (i = 0; i < 10; i++) {
		for (j = 0; j < LINES_A_BURST; j++)
			expect(-EADDRNOTAVAIL, vfio_map(container, page, (uintptr_t)page, PAGE));
		expect(0, close_container(state));
		expect(0, open_container(state));
	}
	clock_gettime(CLOCK_MONOTONIC, &last);
	lines = log_count("is refused a map");
	assert_true(lines >= 1);
	/* However slow the machine is. */
	assert_true(lines < 5 * LINES_A_BURST *
		    (unsigned int)((last.tv_sec - first.tv_sec) / SECONDS_A_BURST + 2));
	mem_free(page, PAGE);
	expect_pins_back();
}

/* A huge page of the kernel's in no mapping: it looks like the one of zeros, up to Linux 6.1. */
static void ring_of_packets_maps_to_read(void **state)
{
	const struct tpacket_req ring = {
		.tp_block_size = HUGE_PAGE, .tp_block_nr = 1, .tp_frame_size = PAGE, .tp_frame_nr = HUGE_PAGE / PAGE,
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	uint64_t bus;
	char *pages;

	(void)state;
	if (fd < 0 && errno == EAFNOSUPPORT)
		skip_for("this kernel has no packet sockets");
	expect_good(fd);
	expect(0, setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)));
	pages = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(pages, MAP_FAILED);
	bus = bus_address(pages);
	assert_int_not_equal(bus, 0);
	assert_int_equal(bus % HUGE_PAGE, 0);
	expect(0, vfio_map_read(container, pages, bus, HUGE_PAGE));
	expect(0, vfio_unmap(container, bus, HUGE_PAGE));
	munmap(pages, HUGE_PAGE);
	close(fd);
	expect_pins_back();
}

/* A write to it is an interrupt: it is no place for memory, and VFIO says so. */
static void interrupt_window_is_reserved(void **state)
{
	char path[64], text[512];

	(void)state;
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/reserved_regions", pci_group(EDU));
	expect_good(read_text(path, text, sizeof(text)));
#ifdef __x86_64__
	assert_non_null(strstr(text, "0x00000000fee00000 0x00000000feefffff msi"));
#else
	/* The page of the interrupt controller's that MSIs go to, where the kernel asks for it. */
	if (kernel_is(6, 15))
		assert_non_null(strstr(text, " msi"));
	else
		assert_string_equal(text, "");
#endif
}

static void range_fails_whole(void **state)
{
	char *pages = mem_scattered(3);
	uint64_t bus, done;

	(void)state;
	assert_non_null(pages);
	bus = bus_address(pages);
	expect(0, log_mark());
	expect(-EADDRNOTAVAIL, vfio_map(container, pages, bus, 3 * PAGE));
	assert_int_equal(log_count("is refused a map"), 1);
	assert_int_equal(pins(), pins_before);
	expect(0, vfio_unmap_some(container, bus, 3 * PAGE, &done));
	assert_int_equal(done, 0);
	expect(0, vfio_map(container, pages, bus, PAGE));
	assert_int_equal(pins(), pins_before + 1);
	expect(0, vfio_unmap(container, bus, PAGE));
	expect_container_works();
	mem_free(pages, 3 * PAGE);
	expect_pins_back();
}

static void bar_maps_at_its_bus_address(void **state)
{
	uint64_t start, size;
	char *page = mem_pages(1);

	(void)state;
	assert_non_null(page);
	expect(0, pci_bar(EDU, 0, &start, &size));
	assert_int_equal(size, edu.bar0_size);
	expect(0, log_mark());
	expect(0, vfio_map(container, edu.bar0, start, size));
	assert_int_equal(log_count("flatiommu"), 0);
	expect(0, vfio_unmap(container, start, size));

	/* Neither where nothing is, nor where memory is, nor a page further. */
	expect(-EADDRNOTAVAIL, vfio_map(container, edu.bar0, NOWHERE, size));
	expect(-EADDRNOTAVAIL, vfio_map(container, edu.bar0, bus_address(page), PAGE));
	expect(-EADDRNOTAVAIL, vfio_map(container, edu.bar0, start + PAGE, PAGE));
	assert_int_equal(log_count("is refused a map"), 3);
	/* Nor memory at the BAR's address. */
	expect(-EADDRNOTAVAIL, vfio_map(container, page, start, PAGE));
	expect_container_works();
	mem_free(page, PAGE);
	expect_pins_back();
}

static void same_page_twice_is_eexist(void **state)
{
	char *page = mem_pages(1);
	uint64_t bus;

	(void)state;
	assert_non_null(page);
	expect(0, vfio_map_at_bus(container, page, PAGE, &bus));
	expect(-EEXIST, vfio_map(container, page, bus, PAGE));
	expect(0, vfio_unmap(container, bus, PAGE));
	mem_free(page, PAGE);
	expect_pins_back();
}

/* Up to 6.17 type1 would lose the pin of a map that ends where the I/O address space does. */
static void last_page_is_no_address(void **state)
{
	char *page = mem_pages(1);
	uint64_t last;

	(void)state;
	assert_non_null(page);
	expect(0, vfio_last_iova(container, &last));
	assert_int_equal(last, (1ull << 57) - 1);
	expect(-EINVAL, vfio_map(container, page, ~0ull - PAGE + 1, PAGE));
	expect(-EINVAL, vfio_map(container, page, 1ull << 57, PAGE));
	expect_refused(container, EDU, page, (1ull << 57) - PAGE, PAGE, &no_address);
	expect_container_works();
	mem_free(page, PAGE);
	expect_pins_back();
}

/* A huge page, so that neighbours are neighbours on the bus, too. */
static char *contiguous(uint64_t *bus)
{
	char *pages;

	expect(0, huge_pages(1));
	pages = mem_huge();
	assert_non_null(pages);
	*bus = bus_address(pages);
	return pages;
}

static void unmaps_whole_maps(void **state)
{
	uint64_t bus, done, i;
	char *pages = contiguous(&bus);

	(void)state;
	/* As one. Type1 v2 does not cut a map in two. */
	expect(0, vfio_map(container, pages, bus, HUGE_PAGE));
	expect(-EINVAL, vfio_unmap(container, bus + PAGE, PAGE));
	expect(0, vfio_unmap(container, bus, HUGE_PAGE));

	/* As neighbours, two of which are unmapped by one call. */
	for (i = 0; i < 3; i++)
		expect(0, vfio_map(container, pages + i * PAGE, bus + i * PAGE, PAGE));
	expect(0, vfio_unmap(container, bus, 2 * PAGE));
	fill(pages + 2 * PAGE, PAGE, 2);
	expect(0, vfio_map(container, pages, bus, PAGE));
	copy(&edu, bus + 2 * PAGE, bus);
	assert_true(is_filled(pages, EDU_COPY, 2));
	expect(-EEXIST, vfio_map(container, pages + PAGE, bus + PAGE, 2 * PAGE));

	/* Over a hole. */
	expect(0, vfio_unmap_some(container, bus, 3 * PAGE, &done));
	assert_int_equal(done, 2 * PAGE);
	expect(0, vfio_map(container, pages, bus, 3 * PAGE));
	expect(0, vfio_unmap(container, bus, 3 * PAGE));
	assert_int_equal(pins(), pins_before);
	mem_free(pages, HUGE_PAGE);
	expect(0, huge_pages(0));
	expect_pins_back();
}

/* Type1 then maps page by page, and still unmaps all that is contiguous at once. */
static void unmaps_what_many_calls_mapped(void **state)
{
	uint64_t bus;
	char *pages = contiguous(&bus);

	(void)state;
	expect(0, write_text(DISABLE_HUGEPAGES, "1"));
	expect(0, vfio_map(container, pages, bus, HUGE_PAGE));
	expect(0, vfio_unmap(container, bus, HUGE_PAGE));
	expect(0, vfio_map(container, pages, bus, HUGE_PAGE));
	expect(0, write_text(DISABLE_HUGEPAGES, "0"));
	expect(0, vfio_unmap(container, bus, HUGE_PAGE));
	expect(0, vfio_map(container, pages, bus, HUGE_PAGE));
	mem_free(pages, HUGE_PAGE);
	expect_pins_back();
	expect(0, huge_pages(0));
}

static int restore_hugepages(void **state)
{
	write_text(DISABLE_HUGEPAGES, "0");
	close_container(state);
	return huge_pages(0);
}

static void unmaps_all(void **state)
{
	const unsigned int count = 256;
	char *pages = mem_scattered(count);
	uint64_t bus, done;
	unsigned int i;

	(void)state;
	assert_non_null(pages);
	for (i = 0; i < count; i++)
		expect(0, vfio_map_at_bus(container, pages + i * PAGE, PAGE, &bus));
	assert_int_equal(pins(), pins_before + count);
	expect(0, vfio_unmap_all(container, &done));
	assert_int_equal(done, count * PAGE);
	assert_int_equal(pins(), pins_before);
	expect_container_works();
	mem_free(pages, count * PAGE);
	expect_pins_back();
}

static void close_unmaps_all(void **state)
{
	char *pages = mem_scattered(16);
	uint64_t bus;
	unsigned int i;

	(void)state;
	assert_non_null(pages);
	for (i = 0; i < 16; i++)
		expect(0, vfio_map_at_bus(container, pages + i * PAGE, PAGE, &bus));
	expect_pins_back();
	mem_free(pages, 16 * PAGE);
}

static void two_devices_share_a_container(void **state)
{
	char *pages = mem_scattered(3);
	uint64_t bus[3];
	unsigned int i;

	(void)state;
	assert_non_null(pages);
	fill(pages, PAGE, 3);
	/* One is mapped before the second device comes, two are mapped after it. */
	expect(0, vfio_map_at_bus(container, pages, PAGE, &bus[0]));
	expect(0, vfio_open(&edu2, container, FN1));
	expect(0, vfio_set_bus_master(&edu2, true));
	for (i = 1; i < 3; i++)
		expect(0, vfio_map_at_bus(container, pages + i * PAGE, PAGE, &bus[i]));
	copy(&edu, bus[0], bus[1]);
	copy(&edu2, bus[1], bus[2]);
	assert_true(is_filled(pages + PAGE, EDU_COPY, 3));
	assert_true(is_filled(pages + 2 * PAGE, EDU_COPY, 3));
	expect_refused(container, EDU, pages, NOWHERE, PAGE, &no_address);

	/* The first one goes, the second one keeps the maps. */
	vfio_close(&edu);
	memset(pages + 2 * PAGE, 0, PAGE);
	copy(&edu2, bus[0], bus[2]);
	assert_true(is_filled(pages + 2 * PAGE, EDU_COPY, 3));
	for (i = 0; i < 3; i++)
		expect(0, vfio_unmap(container, bus[i], PAGE));
	mem_free(pages, 3 * PAGE);
	expect_pins_back();
}

/* Opens all, maps, and tells it through the pipe, if any, before it waits to be killed. */
static int map_and_die(void *arg)
{
	int *tell = arg, ret = open_container(NULL);
	char *pages = mem_scattered(16);
	uint64_t bus;
	unsigned int i;

	if (!pages)
		return -ENOMEM;
	for (i = 0; !ret && i < 16; i++)
		ret = vfio_map_at_bus(container, pages + i * PAGE, PAGE, &bus);
	if (ret || !tell)
		return ret;
	if (write(tell[1], "", 1) != 1)
		return -errno;
	for (;;)
		pause();
}

static bool pins_are_back(void *arg)
{
	(void)arg;
	return pins() == pins_before;
}

static void exit_unmaps_all(void **state)
{
	close_container(state);
	expect(0, in_child(map_and_die, NULL));
	assert_true(wait_until(pins_are_back, NULL));
	expect(0, open_container(state));
	expect_container_works();
	expect_pins_back();
}

static void kill_unmaps_all(void **state)
{
	int tell[2];
	pid_t child;
	char c;

	close_container(state);
	assert_int_equal(pipe(tell), 0);
	child = expect_good(child_begin(map_and_die, tell));
	close(tell[1]);
	/* Nothing comes when the child could not do it. */
	assert_int_equal(read(tell[0], &c, 1), 1);
	close(tell[0]);
	assert_int_equal(pins(), pins_before + 16);
	kill(child, SIGKILL);
	expect(-EINTR, child_end(child));
	assert_true(wait_until(pins_are_back, NULL));
	expect(0, open_container(state));
	expect_container_works();
	expect_pins_back();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_container, close_container)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(attach_says_nothing),
		TEST(refuses_virtual_address),
		TEST(refuses_other_page),
		TEST(refuses_other_page_at_a_reserved_number),
		TEST(refuses_nowhere),
		TEST(refuses_unwritten_memory),
		TEST(refuses_unwritten_memory_to_read),
		TEST(refuses_unwritten_huge_page_to_read),
		TEST(counts_each_process_for_itself),
		TEST(forgets_the_first_of_many),
		TEST(log_is_limited),
		TEST(ring_of_packets_maps_to_read),
		TEST(interrupt_window_is_reserved),
		TEST(range_fails_whole),
		TEST(bar_maps_at_its_bus_address),
		TEST(same_page_twice_is_eexist),
		TEST(last_page_is_no_address),
		TEST(unmaps_whole_maps),
		cmocka_unit_test_setup_teardown(unmaps_what_many_calls_mapped, open_container,
						restore_hugepages),
		TEST(unmaps_all),
		TEST(close_unmaps_all),
		TEST(two_devices_share_a_container),
		TEST(exit_unmaps_all),
		TEST(kill_unmaps_all),
		/* The last one: nobody else has lines for five seconds. */
		TEST(log_of_all_is_limited),
	};

	return run_with(devices, tests);
}
