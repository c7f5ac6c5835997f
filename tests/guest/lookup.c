// SPDX-License-Identifier: MIT
/*
 * Look-up mode: a program that has declared its functions maps any memory at any free IOVA, and
 * gets the bus addresses; no other program may.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/userfaultfd.h>
#include <linux/vfio.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alone.h"
#include "caps.h"
#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "fixture.h"
#include "kmsg.h"
#include "mem.h"
#include "nvme.h"
#include "refusals.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define NOWHERE FLATIOMMU_LOOKUP_FIRST

static const char *const devices[] = { EDU, FN1, NVME, NULL };

static struct vfio_dev edu2 = VFIO_DEV_INIT, ctrl = VFIO_DEV_INIT;
static struct nvme nvme;
static int container2 = -1;

static int close_all(void **state)
{
	nvme_stop(&nvme);
	vfio_close(&ctrl);
	vfio_close(&edu2);
	close_fd(&container2);
	return alone_close(state);
}

static void expect_pins_back(void)
{
	close_all(NULL);
	assert_int_equal(pins(), alone.pins_before);
}

static uint64_t iova_of(const void *addr)
{
	return (uintptr_t)addr;
}

/* Every page's address, by segments and one by one, is the one that pagemap has. */
static void expect_addresses(const char *addr, size_t count)
{
	struct flatiommu_segment *segments = calloc(count, sizeof(*segments));
	uint64_t *bus = calloc(count, sizeof(*bus));
	size_t page = 0;
	int i, n;

	expect(0, bus_addresses(addr, bus, count));
	n = expect_good(flat_lookup(alone.flat, EDU, iova_of(addr), count * PAGE, segments,
				    (unsigned int)count));
	for (i = 0; i < n; i++) {
		uint64_t at;

		assert_int_equal(segments[i].flags, 0);
		if (i)
			assert_int_not_equal(segments[i].address,
					     segments[i - 1].address + segments[i - 1].length);
		for (at = 0; at < segments[i].length; at += PAGE)
			assert_int_equal(segments[i].address + at, bus[page++]);
	}
	assert_int_equal(page, count);
	for (page = 0; page < count; page += count / 16 + 1)
		assert_int_equal(flat_address(alone.flat, EDU, iova_of(addr) + page * PAGE + 5),
				 bus[page] + 5);
	free(segments);
	free(bus);
}

/* The controller writes a page into each page, where the program finds it, and only there. */
static void expect_dma(char *addr, size_t count, size_t step)
{
	size_t i;

	for (i = 0; i < count; i += step)
		memset(addr + i * PAGE, 0xa5, PAGE);
	for (i = 0; i < count; i += step) {
		struct nvme_id_ctrl *id = (void *)(addr + i * PAGE);

		assert_int_equal(addr[i * PAGE + 4], (char)0xa5);
		expect(0, nvme_identify_to(&nvme, NVME_CNS_CONTROLLER,
					   flat_address(alone.flat, NVME, iova_of(id))));
		assert_memory_equal(id->sn, "flat0", 5);
	}
}

static void lookup_works(char *addr, size_t size, size_t step)
{
	assert_non_null(addr);
	expect(0, log_mark());
	expect(0, vfio_map(alone.container, addr, iova_of(addr), size));
	assert_int_equal(log_count("is refused"), 0);
	expect_addresses(addr, size / PAGE);
	expect_dma(addr, size / PAGE, step);
	expect(0, vfio_unmap(alone.container, iova_of(addr), size));
	assert_int_equal(flat_address(alone.flat, EDU, iova_of(addr)), 0);
	mem_free(addr, size);
}

/* With a controller in the same container, which writes whole pages quickly. */
static void open_declared(void)
{
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, vfio_open(&ctrl, alone.container, NVME));
	expect(0, flat_declare(alone.flat, NVME));
	expect(0, nvme_start(&nvme, &ctrl, alone.container));
}

static void each_kind_of_memory(void **state)
{
	char *page;

	(void)state;
	open_declared();
	lookup_works(mem_scattered(64), 64 * PAGE, 1);
	lookup_works(mem_pages(64), 64 * PAGE, 1);
	lookup_works(mem_shared(64), 64 * PAGE, 1);
	lookup_works(mem_file_scattered(64), 64 * PAGE, 1);
	page = mem_transparent();
	if (page)
		lookup_works(page, HUGE_PAGE, 1);
	expect(0, huge_pages(1));
	lookup_works(mem_huge(), HUGE_PAGE, 1);
	assert_true(mem_has_giant());
	lookup_works(mem_giant(), GIANT_PAGE, 512 * 32 + 1);
	expect_pins_back();
}

/* It starts and ends inside a page; what VFIO maps is whole pages. */
static void parts_of_pages(void **state)
{
	struct flatiommu_segment segments[3];
	char *pages = mem_scattered(3), *addr = pages + 100;
	size_t length = 2 * PAGE;

	(void)state;
	assert_non_null(pages);
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, vfio_map(alone.container, pages, iova_of(pages), 3 * PAGE));
	expect(3, flat_lookup(alone.flat, EDU, iova_of(addr), length, segments, 3));
	assert_int_equal(segments[0].address, bus_address(pages) + 100);
	assert_int_equal(segments[0].length, PAGE - 100);
	assert_int_equal(segments[1].address, bus_address(pages + PAGE));
	assert_int_equal(segments[1].length, PAGE);
	assert_int_equal(segments[2].address, bus_address(pages + 2 * PAGE));
	assert_int_equal(segments[2].length, 100);
	fill(addr, EDU_COPY, 7);
	expect(0, edu_load(alone.edu.bar0, segments[0].address, EDU_COPY));
	expect(0, edu_store(alone.edu.bar0, flat_address(alone.flat, EDU, iova_of(addr) + PAGE), EDU_COPY));
	assert_true(is_filled(addr + PAGE, EDU_COPY, 7));
	mem_free(pages, 3 * PAGE);
	expect_pins_back();
}

/* More pages than type1 has maps. */
static void one_map_for_all(void **state)
{
	const size_t count = 66000;
	struct flatiommu_segment *segments = calloc(count, sizeof(*segments));
	char *addr = mem_file_scattered(count);
	uint64_t *bus = calloc(count, sizeof(*bus));
	size_t page = 0;
	int i, n;

	(void)state;
	assert_non_null(addr);
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, vfio_map(alone.container, addr, NOWHERE, count * PAGE));
	expect(0, bus_addresses(addr, bus, count));
	n = expect_good(flat_lookup(alone.flat, EDU, NOWHERE, count * PAGE, segments, count));
	/* What it takes in strict mode, each a map. */
	assert_true(n > 60000);
	for (i = 0; i < n; i++) {
		uint64_t at;

		for (at = 0; at < segments[i].length; at += PAGE)
			if (segments[i].address + at != bus[page++])
				fail();
	}
	assert_int_equal(page, count);
	expect(0, vfio_unmap(alone.container, NOWHERE, count * PAGE));
	assert_int_equal(pins(), alone.pins_before);
	free(segments);
	free(bus);
	mem_free(addr, count * PAGE);
	expect_pins_back();
}

static void small_arrays_are_resumed(void **state)
{
	struct flatiommu_segment segments[64];
	char *pages = mem_scattered(64);
	struct flatiommu_lookup arg = {
		.size = sizeof(arg),
		.function = flat_function(EDU),
		.start = iova_of(pages),
		.length = 64 * PAGE,
		.nr_segments = 3,
		.segments = (uintptr_t)segments,
	};
	unsigned int i;

	(void)state;
	assert_non_null(pages);
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, vfio_map(alone.container, pages, iova_of(pages), 64 * PAGE));
	segments[3].length = 1;
	expect(0, flat_call(alone.flat, FLATIOMMU_LOOKUP, &arg));
	assert_int_equal(arg.nr_segments, 3);
	assert_int_equal(arg.length, 3 * PAGE);
	assert_int_equal(segments[3].length, 1);
	for (i = 0; i < 3; i++)
		assert_int_equal(segments[i].address, bus_address(pages + i * PAGE));

	/* Up to a hole, and at one. */
	arg.start = iova_of(pages) + 62 * PAGE;
	arg.length = 8 * PAGE;
	arg.nr_segments = 64;
	expect(0, flat_call(alone.flat, FLATIOMMU_LOOKUP, &arg));
	assert_int_equal(arg.nr_segments, 2);
	assert_int_equal(arg.length, 2 * PAGE);
	arg.start = iova_of(pages) + 64 * PAGE;
	arg.nr_segments = 64;
	expect(-ENOENT, flat_call(alone.flat, FLATIOMMU_LOOKUP, &arg));
	mem_free(pages, 64 * PAGE);
	expect_pins_back();
}

/* At its bus address or anywhere, a BAR is not RAM. */
static void bars_are_told_apart(void **state)
{
	struct flatiommu_segment segment;
	uint64_t start, size;

	(void)state;
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, pci_bar(EDU, 0, &start, &size));
	expect(0, vfio_map(alone.container, alone.edu.bar0, NOWHERE, size));
	expect(0, vfio_map(alone.container, alone.edu.bar0, start, size));
	expect(1, flat_lookup(alone.flat, EDU, NOWHERE, size, &segment, 1));
	assert_int_equal(segment.address, start);
	assert_int_equal(segment.length, size);
	assert_int_equal(segment.flags, FLATIOMMU_SEGMENT_MMIO);
	expect(1, flat_lookup(alone.flat, EDU, start, size, &segment, 1));
	assert_int_equal(segment.flags, FLATIOMMU_SEGMENT_MMIO);
	expect_pins_back();
}

/* An IOVA that a device could take for an address, should somebody forget to look it up. */
static void keys_reach_nothing(void **state)
{
	char *pages = mem_scattered(2);
	uint64_t start, size;

	(void)state;
	assert_non_null(pages);
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, pci_bar(EDU, 0, &start, &size));
	expect_refused(alone.container, EDU, pages, bus_address(pages + PAGE), PAGE, &lookup_iova);
	expect_refused(alone.container, EDU, pages, start, PAGE, &lookup_iova);
	/* One page of the range is enough. */
	expect(-EADDRNOTAVAIL, vfio_map(alone.container, pages, start - PAGE, 2 * PAGE));
	/* Nor where memory may be of which the kernel was not told (mem=). */
	expect(-EADDRNOTAVAIL, vfio_map(alone.container, pages, NOWHERE - PAGE, PAGE));
	expect(0, vfio_map(alone.container, pages, NOWHERE, PAGE));
	mem_free(pages, 2 * PAGE);
	expect_pins_back();
}

/* What was mapped in two calls and is one piece on the bus. */
static void neighbours_are_one_segment(void **state)
{
	struct flatiommu_segment segment;
	char *page;

	(void)state;
	expect(0, huge_pages(1));
	page = mem_huge();
	assert_non_null(page);
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, vfio_map(alone.container, page, NOWHERE, HUGE_PAGE / 2));
	expect(0, vfio_map(alone.container, page + HUGE_PAGE / 2, NOWHERE + HUGE_PAGE / 2, HUGE_PAGE / 2));
	expect(1, flat_lookup(alone.flat, EDU, NOWHERE, HUGE_PAGE, &segment, 1));
	assert_int_equal(segment.address, bus_address(page));
	assert_int_equal(segment.length, HUGE_PAGE);
	mem_free(page, HUGE_PAGE);
	expect_pins_back();
}

static void strict_without_declaration(void **state)
{
	char *page = mem_pages(1);
	uint64_t bus;

	(void)state;
	assert_non_null(page);
	expect_refused(alone.container, EDU, page, iova_of(page), PAGE, &virtual_address);
	/* Another function's does not count. */
	expect(0, flat_declare(alone.flat, FN1));
	expect_refused(alone.container, EDU, page, iova_of(page), PAGE, &virtual_address);
	expect(0, vfio_map_at_bus(alone.container, page, PAGE, &bus));
	assert_int_equal(flat_address(alone.flat, EDU, bus), 0);
	/* What is mapped is looked up, wherever it is, once it is declared. */
	expect(0, flat_declare(alone.flat, EDU));
	assert_int_equal(flat_address(alone.flat, EDU, bus), bus);
	mem_free(page, PAGE);
	expect_pins_back();
}

/* Nor by another address space, which has its memory from where what is gone had its own. */
static void what_is_gone_is_not_found(void **state)
{
	char *pages = mem_scattered(2);
	cpu_set_t first;
	int i;

	(void)state;
	assert_non_null(pages);
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	assert_int_equal(sched_setaffinity(0, sizeof(first), &first), 0);
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, flat_declare(alone.flat, FN1));
	container2 = expect_good(vfio_container());
	expect(0, vfio_open(&edu2, container2, FN1));
	for (i = 0; i < 8; i++) {
		uint64_t there = NOWHERE + (uint64_t)(i + 1) * HUGE_PAGE;

		expect(0, vfio_map(alone.container, pages, NOWHERE, PAGE));
		expect(0, vfio_unmap(alone.container, NOWHERE, PAGE));
		expect(0, vfio_map(container2, pages + PAGE, there, PAGE));
		assert_int_equal(flat_address(alone.flat, FN1, there), bus_address(pages + PAGE));
		assert_int_equal(flat_address(alone.flat, EDU, there), 0);
	}
	CPU_SET(1, &first);
	sched_setaffinity(0, sizeof(first), &first);
	mem_free(pages, 2 * PAGE);
	expect_pins_back();
}

/* A library that looks addresses up beside one that does not, in one program. */
static void other_containers_stay_strict(void **state)
{
	char *page = mem_pages(1);

	(void)state;
	assert_non_null(page);
	expect(0, flat_declare(alone.flat, EDU));
	container2 = expect_good(vfio_container());
	expect(0, vfio_open(&edu2, container2, FN1));
	expect_refused(container2, FN1, page, iova_of(page), PAGE, &virtual_address);
	expect(0, vfio_map(alone.container, page, iova_of(page), PAGE));
	mem_free(page, PAGE);
	expect_pins_back();
}

static void undeclared_function_does_not_join(void **state)
{
	char *pages = mem_scattered(2);
	uint64_t bus;

	(void)state;
	assert_non_null(pages);
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, vfio_map_at_bus(alone.container, pages, PAGE, &bus));
	expect(0, vfio_map(alone.container, pages + PAGE, NOWHERE, PAGE));
	expect(0, log_mark());
	edu2.group = expect_good(vfio_group(FN1));
	expect(-EADDRNOTAVAIL, vfio_set_container(edu2.group, alone.container));
	assert_int_equal(log_count("is refused a map"), 1);
	close_fd(&edu2.group);

	/* Nothing is spoilt. */
	assert_int_equal(flat_address(alone.flat, EDU, NOWHERE), bus_address(pages + PAGE));
	assert_int_equal(pins(), alone.pins_before + 2);

	/* Without such maps it may; then there is none for both, until it is declared, too. */
	expect(0, vfio_unmap(alone.container, NOWHERE, PAGE));
	expect(0, vfio_open(&edu2, alone.container, FN1));
	expect(-EADDRNOTAVAIL, vfio_map(alone.container, pages + PAGE, NOWHERE, PAGE));
	expect(0, flat_declare(alone.flat, FN1));
	expect(0, vfio_map(alone.container, pages + PAGE, NOWHERE, PAGE));
	assert_int_equal(flat_address(alone.flat, FN1, NOWHERE), bus_address(pages + PAGE));

	/* And it may leave and come again. */
	vfio_close(&edu2);
	expect(0, vfio_open(&edu2, alone.container, FN1));
	assert_int_equal(flat_address(alone.flat, FN1, NOWHERE), bus_address(pages + PAGE));
	mem_free(pages, 2 * PAGE);
	expect_pins_back();
}

/* A child has the file descriptors and not the address space. */
static int try_as_heir(void *arg)
{
	char *page = arg;

	if (flat_declare(alone.flat, EDU) != -EPERM)
		return -EEXIST;
	if (flat_lookup(alone.flat, EDU, NOWHERE, 1, &(struct flatiommu_segment){ 0 }, 1) != -EPERM)
		return -ENOLCK;
	if (vfio_map(alone.container, page, iova_of(page), PAGE) != -EADDRNOTAVAIL)
		return -EISDIR;
	return 0;
}

static int exec_heir(void *arg)
{
	char flat_fd[16], container_fd[16];

	(void)arg;
	fcntl(alone.flat, F_SETFD, 0);
	fcntl(alone.container, F_SETFD, 0);
	snprintf(flat_fd, sizeof(flat_fd), "%d", alone.flat);
	snprintf(container_fd, sizeof(container_fd), "%d", alone.container);
	execl("/proc/self/exe", "lookup.t", "heir", flat_fd, container_fd, NULL);
	return -errno;
}

static void nobody_inherits_it(void **state)
{
	char *page = mem_pages(1);

	(void)state;
	assert_non_null(page);
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, in_child(try_as_heir, page));
	/* And when there are such maps already. */
	expect(0, vfio_map(alone.container, page, NOWHERE, PAGE));
	expect(0, in_child(try_as_heir, page));
	expect(0, in_child(exec_heir, page));
	assert_int_equal(flat_address(alone.flat, EDU, NOWHERE), bus_address(page));
	mem_free(page, PAGE);
	expect_pins_back();
}

static int map_and_look_up(void *arg)
{
	char *page = mem_pages(1);
	int own = flat_open(), ret;

	(void)arg;
	if (!page || own < 0)
		return -ENOMEM;
	ret = flat_declare(own, EDU);
	if (!ret)
		ret = vfio_map(alone.container, page, NOWHERE + PAGE, PAGE);
	if (ret)
		return ret;
	if (flat_address(own, EDU, NOWHERE + PAGE) != bus_address(page))
		return -EIO;
	return vfio_unmap(alone.container, NOWHERE + PAGE, PAGE);
}

/* Whose maps are looked up is asked again when there are none. */
static void another_program_may_follow(void **state)
{
	char *page = mem_pages(1);

	(void)state;
	assert_non_null(page);
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, vfio_map(alone.container, page, NOWHERE, PAGE));
	expect(0, log_mark());
	expect(-EADDRNOTAVAIL, in_child(map_and_look_up, NULL));
	assert_int_equal(log_count("another program looks addresses up in the same container"), 1);
	expect(0, vfio_unmap(alone.container, NOWHERE, PAGE));
	expect(0, in_child(map_and_look_up, NULL));
	expect(0, vfio_map(alone.container, page, NOWHERE, PAGE));
	assert_int_equal(flat_address(alone.flat, EDU, NOWHERE), bus_address(page));
	mem_free(page, PAGE);
	expect_pins_back();
}

/* What a program with its own file and every right to it is told of the maps of another one. */
static int look_for_anothers(void *arg)
{
	const uint64_t *strict = arg;
	struct flatiommu_segment segment;
	int own = flat_open(), ret;

	ret = flat_declare(own, EDU);
	if (ret)
		return ret;
	if (flat_lookup(own, EDU, NOWHERE, PAGE, &segment, 1) != -ENOENT)
		return -EEXIST;
	return flat_lookup(own, EDU, *strict, PAGE, &segment, 1) == -ENOENT ? 0 : -EISDIR;
}

static int map_strictly(void *arg)
{
	uint64_t bus;

	(void)arg;
	return vfio_map_at_bus(alone.container, mem_pages(1), PAGE, &bus);
}

static void strangers_learn_nothing(void **state)
{
	struct flatiommu_segment segment;
	char *pages = mem_scattered(2);
	uint64_t strict;

	(void)state;
	assert_non_null(pages);
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, vfio_map(alone.container, pages, NOWHERE, PAGE));
	expect(0, vfio_map_at_bus(alone.container, pages + PAGE, PAGE, &strict));
	expect(0, in_child(look_for_anothers, &strict));
	assert_int_equal(flat_address(alone.flat, EDU, NOWHERE), bus_address(pages));
	assert_int_equal(flat_address(alone.flat, EDU, strict), strict);
	/* Once there are those of two programs, neither is told which are mapped, but by what it has looked up. */
	expect(0, in_child(map_strictly, NULL));
	expect(-ENOENT, flat_lookup(alone.flat, EDU, strict, PAGE, &segment, 1));
	assert_int_equal(flat_address(alone.flat, EDU, NOWHERE), bus_address(pages));
	mem_free(pages, 2 * PAGE);
}

static int declare_without_rawio(void *arg)
{
	int own = flat_open(), ret = drop_capability(CAP_SYS_RAWIO);

	(void)arg;
	return ret ? ret : flat_declare(own, EDU);
}

static void capability_is_asked_each_time(void **state)
{
	(void)state;
	expect(-EPERM, in_child(declare_without_rawio, NULL));
}

static int declare_alone(void *arg)
{
	(void)arg;
	return flat_declare(flat_open(), EDU);
}

static int declare_and_wait(void *arg)
{
	const int *go_on = arg;
	int own = flat_open(), ret = flat_declare(own, EDU);
	char c = 0;

	close(go_on[1]);
	if (write(go_on[3], &c, 1) != 1 || read(go_on[0], &c, 1) < 0)
		return -EIO;
	return ret;
}

/* However often a program declares, it is one; and there is room for 64. */
static void declarations_are_counted(void **state)
{
	pid_t children[63];
	int files[200], pipes[4];
	size_t i;
	char c;

	(void)state;
	expect(0, log_mark());
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		files[i] = expect_good(flat_open());
		expect(0, flat_declare(files[i], EDU));
		expect(0, flat_declare(files[i], EDU));
	}
	/* None where the tests before have used up what there may be in five seconds. */
	assert_true(log_count("looks addresses up") <= 1);
	expect(0, pipe2(pipes, O_CLOEXEC));
	expect(0, pipe2(pipes + 2, O_CLOEXEC));
	for (i = 0; i < ARRAY_SIZE(children); i++)
		children[i] = expect_good(child_begin(declare_and_wait, pipes));
	for (i = 0; i < ARRAY_SIZE(children); i++)
		assert_int_equal(read(pipes[2], &c, 1), 1);
	/* One of many: it has declared itself before. */
	for (i = 1; i < ARRAY_SIZE(files); i++)
		close(files[i]);
	expect(-ENOSPC, in_child(declare_alone, NULL));
	expect(0, flat_declare(files[0], EDU));
	close(pipes[1]);
	for (i = 0; i < ARRAY_SIZE(children); i++)
		expect(0, child_end(children[i]));
	expect(0, in_child(declare_alone, NULL));
	close(files[0]);
	close(pipes[0]);
	close(pipes[2]);
	close(pipes[3]);
}

static void ends_with_the_file(void **state)
{
	char *pages = mem_scattered(2);

	(void)state;
	assert_non_null(pages);
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, vfio_map(alone.container, pages, NOWHERE, PAGE));
	close_fd(&alone.flat);
	expect(-EADDRNOTAVAIL, vfio_map(alone.container, pages + PAGE, NOWHERE + PAGE, PAGE));
	alone.flat = expect_good(flat_open());
	expect(-ENODEV, flat_lookup(alone.flat, EDU, NOWHERE, 1, &(struct flatiommu_segment){ 0 }, 1));
	/* What is there stays, and can be unmapped. */
	assert_int_equal(pins(), alone.pins_before + 1);
	expect(0, flat_declare(alone.flat, EDU));
	assert_int_equal(flat_address(alone.flat, EDU, NOWHERE), bus_address(pages));
	close_fd(&alone.flat);
	expect(0, vfio_unmap(alone.container, NOWHERE, PAGE));
	assert_int_equal(pins(), alone.pins_before);
	mem_free(pages, 2 * PAGE);
	expect_pins_back();
}

static void ends_with_the_claim(void **state)
{
	(void)state;
	expect(0, flat_declare(alone.flat, EDU));
	assert_int_equal(flat_state(alone.flat, EDU), FLATIOMMU_STATE_BUS_ADDRESSES |
			 FLATIOMMU_STATE_CLAIMED | FLATIOMMU_STATE_DECLARED);
	vfio_close(&alone.edu);
	expect(0, pci_give_back(EDU));
	assert_int_equal(flat_state(alone.flat, EDU), FLATIOMMU_STATE_BUS_ADDRESSES);
	expect(-ENOENT, flat_declare(alone.flat, EDU));
	expect(0, pci_take(EDU));
	assert_int_equal(flat_state(alone.flat, EDU), FLATIOMMU_STATE_BUS_ADDRESSES |
			 FLATIOMMU_STATE_CLAIMED);
	expect(-ENODEV, flat_lookup(alone.flat, EDU, NOWHERE, 1, &(struct flatiommu_segment){ 0 }, 1));
	expect_pins_back();
}

/* A function reset blocks the function for a while; it comes back to its maps. */
static void survives_a_reset(void **state)
{
	char *page = mem_pages(1);

	(void)state;
	assert_non_null(page);
	open_declared();
	expect(0, vfio_map(alone.container, page, NOWHERE, PAGE));
	expect(0, vfio_reset(&ctrl));
	assert_int_equal(flat_address(alone.flat, NVME, NOWHERE), bus_address(page));
	nvme_stop(&nvme);
	expect(0, nvme_start(&nvme, &ctrl, alone.container));
	expect(0, nvme_identify_to(&nvme, NVME_CNS_CONTROLLER, flat_address(alone.flat, NVME, NOWHERE)));
	assert_memory_equal(((struct nvme_id_ctrl *)page)->sn, "flat0", 5);
	expect(0, vfio_unmap(alone.container, NOWHERE, PAGE));
	mem_free(page, PAGE);
	expect_pins_back();
}

static void *look_up_into(void *array)
{
	static int ret;

	ret = flat_lookup(alone.flat, EDU, NOWHERE, PAGE, array, 1);
	return &ret;
}

/* The array is on a page that somebody else has yet to supply: nobody but the caller waits for it. */
static void array_may_wait(void **state)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	char *pages = mem_scattered(2);
	struct uffdio_zeropage zero;
	struct uffd_msg message;
	pthread_t thread;
	void *array, *ret;
	int fd;

	(void)state;
	assert_non_null(pages);
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0) {
		mem_free(pages, 2 * PAGE);
		skip_for("this kernel has no userfaultfd");
	}
	expect(0, flat_declare(alone.flat, EDU));
	expect(0, vfio_map(alone.container, pages, NOWHERE, PAGE));
	array = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = iova_of(array);
	reg.range.len = PAGE;
	expect(0, ioctl(fd, UFFDIO_API, &api));
	expect(0, ioctl(fd, UFFDIO_REGISTER, &reg));
	assert_int_equal(pthread_create(&thread, NULL, look_up_into, array), 0);
	/* It has come so far. */
	assert_int_equal(read(fd, &message, sizeof(message)), sizeof(message));
	assert_int_equal(message.event, UFFD_EVENT_PAGEFAULT);

	expect(0, vfio_map(alone.container, pages + PAGE, NOWHERE + PAGE, PAGE));
	assert_int_equal(flat_address(alone.flat, EDU, NOWHERE + PAGE), bus_address(pages + PAGE));
	expect(0, vfio_unmap(alone.container, NOWHERE + PAGE, PAGE));
	expect(0, flat_declare(alone.flat, FN1));

	zero.range = reg.range;
	zero.mode = 0;
	expect(0, ioctl(fd, UFFDIO_ZEROPAGE, &zero));
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_int_equal(*(int *)ret, 1);
	assert_int_equal(((struct flatiommu_segment *)array)->address, bus_address(pages));
	close(fd);
	munmap(array, PAGE);
	mem_free(pages, 2 * PAGE);
	expect_pins_back();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, alone_open, close_all)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(each_kind_of_memory),
		TEST(parts_of_pages),
		TEST(one_map_for_all),
		TEST(small_arrays_are_resumed),
		TEST(bars_are_told_apart),
		TEST(keys_reach_nothing),
		TEST(neighbours_are_one_segment),
		TEST(strict_without_declaration),
		TEST(other_containers_stay_strict),
		TEST(what_is_gone_is_not_found),
		TEST(undeclared_function_does_not_join),
		TEST(nobody_inherits_it),
		TEST(another_program_may_follow),
		TEST(strangers_learn_nothing),
		TEST(capability_is_asked_each_time),
		TEST(declarations_are_counted),
		TEST(ends_with_the_file),
		TEST(ends_with_the_claim),
		TEST(survives_a_reset),
		TEST(array_may_wait),
	};

	if (argc == 4 && !strcmp(argv[1], "heir")) {
		alone.flat = atoi(argv[2]);
		alone.container = atoi(argv[3]);
		return -try_as_heir(mem_pages(1));
	}
	return run_with(devices, tests);
}
