// SPDX-License-Identifier: MIT
/*
 * on_unmap=hold, and the option hold of a claim: memory that a program unmaps or unpins while its
 * device still writes to it gets to no other program before the device is known to be quiet. With
 * on_unmap=free it does. On the kernel's command line: hold_rounds=N.
 */
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alone.h"
#include "caps.h"
#include "cdev.h"
#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "kmsg.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define HELD MISC "held"
#define RELEASED MISC "held_released_at_limit"
#define CANARY ((size_t)1024)	/* pages */
#define NR_THP 8
#define LOOKUP_IOVA FLATIOMMU_LOOKUP_FIRST

static const char *const devices[] = { EDU, FN1, NULL };

static unsigned long rounds = 3;

static int begin(void **state)
{
	char text[4096], *at = NULL;

	(void)state;
	if (read_text("/proc/cmdline", text, sizeof(text)) > 0)
		at = strstr(text, "hold_rounds=");
	if (at)
		rounds = strtoul(at + strlen("hold_rounds="), NULL, 0);
	return flat_begin(devices);
}

static int end(void **state)
{
	(void)state;
	return flat_end(devices);
}

static int set(const char *parameter, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), PARAMETERS "%s", parameter);
	return write_text(path, value);
}

/* edu in look-up mode, in a container of its own. */
static int open_edu(void **state)
{
	int ret = alone_open(state);

	return ret ? ret : flat_declare(alone.flat, EDU);
}

static int open_with_hold(void **state)
{
	int ret = set("on_unmap", "hold");

	return ret ? ret : open_edu(state);
}

static bool nothing_is_held(void *arg)
{
	(void)arg;
	return !read_number(HELD);
}

/* After all files are closed nothing is held, whatever the test did. */
static int close_edu(void **state)
{
	int ret = alone_close(state);

	if (!wait_until(nothing_is_held, NULL) || pins() != alone.pins_before) {
		fprintf(stderr, "%ld bytes held, %ld pins\n", read_number(HELD), pins() - alone.pins_before);
		ret = -1;
	}
	return set("on_unmap", "free") || set("hold_limit", "256M") || set("on_hold_full", "oldest") ? -1 : ret;
}

static int quiet_by(int flat, uint64_t *length)
{
	struct flatiommu_quiet arg = { .size = sizeof(arg) };
	int ret = flat_call(flat, FLATIOMMU_QUIET, &arg);

	*length = arg.out_length;
	return ret;
}

/* How many bytes were held. */
static size_t quiet(void)
{
	uint64_t length;

	expect(0, quiet_by(alone.flat, &length));
	return length;
}

static void expect_held(size_t bytes)
{
	assert_int_equal(read_number(HELD), (long)bytes);
}

/* How the device comes to the memory. */
enum way { MAP, LOOK_UP, PIN_VFIO, PIN_ALONE, WAYS };

static uint32_t a_pin;

static int give(enum way way, void *memory, size_t size, uint64_t *bus)
{
	int ret;

	switch (way) {
	case MAP:
		return vfio_map_at_bus(alone.container, memory, size, bus);
	case LOOK_UP:
		ret = vfio_map(alone.container, memory, LOOKUP_IOVA, size);
		*bus = ret ? 0 : flat_address(alone.flat, EDU, LOOKUP_IOVA);
		return ret ? ret : *bus ? 0 : -EFAULT;
	default:
		ret = flat_pin(alone.flat, EDU, memory, size, way == PIN_VFIO ? FLATIOMMU_PIN_VFIO : 0, &a_pin);
		*bus = ret ? 0 : flat_address_in_pin(alone.flat, EDU, a_pin, 0);
		return ret ? ret : *bus ? 0 : -EFAULT;
	}
}

static int take_back(enum way way, size_t size, uint64_t bus)
{
	switch (way) {
	case MAP:
		return vfio_unmap(alone.container, bus, size);
	case LOOK_UP:
		return vfio_unmap(alone.container, LOOKUP_IOVA, size);
	default:
		return flat_unpin(alone.flat, a_pin);
	}
}

enum kind { ORDINARY, TRANSPARENT, HUGE, KINDS };

static size_t size_of(enum kind kind)
{
	return kind == ORDINARY ? PAGE : HUGE_PAGE;
}

static void *new_memory(enum kind kind)
{
	return kind == ORDINARY ? mem_pages(1) : kind == TRANSPARENT ? mem_transparent() : mem_huge();
}

/* Memory that the next one who asks gets: the frame at @bus, if it is free. */
struct canary {
	char *parts[CANARY];
	size_t n, size;
	char *found;
};

static void take_canary(struct canary *c, enum kind kind, uint64_t bus)
{
	size_t i, max = kind == TRANSPARENT ? NR_THP : 1;
	char *pages;

	*c = (struct canary){ .size = size_of(kind) };
	if (kind == ORDINARY) {
		/* In one call, because each call is slow on a machine with CMA. */
		pages = mem_pages(CANARY);
		for (max = pages ? CANARY : 0; c->n < max; c->n++)
			c->parts[c->n] = pages + c->n * PAGE;
	}
	while (c->n < max && (c->parts[c->n] = new_memory(kind)))
		c->n++;
	for (i = 0; i < c->n; i++) {
		memset(c->parts[i], 0xa5, c->size);
		if (bus_address(c->parts[i]) == bus)
			c->found = c->parts[i];
	}
}

static void free_canary(struct canary *c)
{
	while (c->n--)
		mem_free(c->parts[c->n], c->size);
}

static bool is_hit(const struct canary *c)
{
	size_t i, byte;

	for (i = 0; i < c->n; i++)
		for (byte = 0; byte < c->size; byte++)
			if (c->parts[i][byte] != (char)0xa5)
				return true;
	return false;
}

/*
 * The program's mistake: memory is unmapped and freed, and then the device writes to it. Returns whether another one
 * had the memory; *@hit: the device has overwritten it.
 */
static bool make_mistake(enum way way, enum kind kind, bool *hit)
{
	char *memory = new_memory(kind);
	size_t size = size_of(kind);
	struct canary canary;
	uint32_t other;
	uint64_t bus;
	bool taken;
	char *page;

	assert_non_null(memory);
	page = mem_pages(1);
	assert_non_null(page);
	/* The last pin of a function stops it. */
	if (way == PIN_ALONE)
		expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &other));
	expect(0, give(way, memory, size, &bus));
	fill(memory, EDU_COPY, 9);
	expect(0, vfio_set_bus_master(&alone.edu, true));
	expect(0, edu_load(alone.edu.bar0, bus, EDU_COPY));
	expect(0, take_back(way, size, bus));
	mem_free(memory, size);
	take_canary(&canary, kind, bus);
	taken = canary.found;
	/* If the memory is neither held nor the test's, it may be anybody's. */
	*hit = false;
	if (taken || read_number(HELD) > 0) {
		expect(0, edu_store(alone.edu.bar0, bus, EDU_COPY));
		*hit = is_hit(&canary);
	}
	free_canary(&canary);
	if (way == PIN_ALONE)
		expect(0, flat_unpin(alone.flat, other));
	mem_free(page, PAGE);
	return taken;
}

static bool has(enum kind kind)
{
	void *memory = kind == HUGE ? NULL : new_memory(kind);

	if (kind == HUGE)
		return !huge_pages(1);
	mem_free(memory, size_of(kind));
	return memory;
}

static void free_is_hit(void **state)
{
	unsigned int taken = 0, hits = 0;
	enum way way;
	enum kind kind;
	bool hit;

	(void)state;
	for (kind = 0; kind < KINDS; kind++) {
		if (!has(kind))
			continue;
		for (way = 0; way < WAYS; way++) {
			taken += make_mistake(way, kind, &hit);
			hits += hit;
			expect_held(0);
		}
	}
	print_message("%u of %u were taken, and %u hit\n", taken, WAYS * KINDS, hits);
	assert_int_not_equal(taken, 0);
	assert_int_equal(hits, taken);
	assert_int_equal(quiet(), 0);
}

static void hold_is_never_hit(void **state)
{
	unsigned long i, n = 0;
	enum way way;
	enum kind kind;
	bool hit;

	(void)state;
	for (kind = 0; kind < KINDS; kind++) {
		if (!has(kind))
			continue;
		for (i = 0; i < rounds * WAYS; i++, n++) {
			way = i % WAYS;
			assert_false(make_mistake(way, kind, &hit));
			assert_false(hit);
			/* The last pin, of another page, stops the function, and ends this. */
			expect_held(way == PIN_ALONE ? 0 : size_of(kind));
			assert_int_equal(quiet(), way == PIN_ALONE ? 0 : size_of(kind));
			expect_held(0);
			assert_int_equal(pins(), alone.pins_before);
		}
	}
	print_message("%lu rounds\n", n);
}

/* A huge page is one of few, so it can be seen that it comes back. */
static bool is_free(void)
{
	char *memory = mem_huge();

	mem_free(memory, HUGE_PAGE);
	return memory;
}

static void unmap_huge(enum way way)
{
	char *memory = mem_huge();
	uint64_t bus;

	assert_non_null(memory);
	expect(0, give(way, memory, HUGE_PAGE, &bus));
	expect(0, take_back(way, HUGE_PAGE, bus));
	mem_free(memory, HUGE_PAGE);
}

static void close_releases(void **state)
{
	enum way way;

	(void)state;
	expect(0, huge_pages(1));
	for (way = MAP; way <= PIN_VFIO; way++) {
		unmap_huge(way);
		expect_held(HUGE_PAGE);
		assert_false(is_free());
		vfio_close(&alone.edu);
		assert_true(wait_until(nothing_is_held, NULL));
		assert_true(is_free());
		expect(0, vfio_open(&alone.edu, alone.container, EDU));
	}
}

/* Files are not closed: their program is killed. */
static int unmap_and_wait(void *arg)
{
	int *tell = arg, container, flat = flat_open(), ret;
	struct vfio_dev fn1 = VFIO_DEV_INIT;
	char *memory = mem_pages(2);
	uint32_t pin[2];
	uint64_t bus;

	ret = memory ? vfio_open_alone(&fn1, &container, FN1) : -ENOMEM;
	if (!ret)
		ret = vfio_map_at_bus(container, memory, PAGE, &bus);
	if (!ret)
		ret = vfio_unmap(container, bus, PAGE);
	if (!ret)
		ret = flat_pin(flat, FN1, memory + PAGE, PAGE, 0, &pin[0]);
	if (!ret)
		ret = flat_pin(flat, FN1, memory + PAGE, PAGE, 0, &pin[1]);
	if (!ret)
		ret = flat_unpin(flat, pin[0]);
	if (ret)
		return ret;
	return write(tell[1], "", 1) == 1 ? pause() : -EPIPE;
}

static pid_t begin_holder(int *tell)
{
	pid_t pid;
	char byte;

	assert_int_equal(pipe(tell), 0);
	pid = expect_good(child_begin(unmap_and_wait, tell));
	close(tell[1]);
	assert_int_equal(read(tell[0], &byte, 1), 1);
	close(tell[0]);
	return pid;
}

static void end_holder(pid_t pid)
{
	kill(pid, SIGKILL);
	expect(-EINTR, child_end(pid));
}

static void death_releases(void **state)
{
	unsigned long i;
	int tell[2];

	(void)state;
	for (i = 0; i < rounds; i++) {
		pid_t pid = begin_holder(tell);

		expect_held(2 * PAGE);
		end_holder(pid);
		assert_true(wait_until(nothing_is_held, NULL));
		assert_int_equal(pins(), alone.pins_before);
	}
}

/* It counts as it did when it was mapped or pinned. */
static void counts_as_locked(void **state)
{
	long before = status_kib("VmLck:"), page = (long)PAGE / 1024;
	char *memory = mem_pages(1);
	enum way way;
	uint64_t bus;

	(void)state;
	assert_non_null(memory);
	for (way = MAP; way <= PIN_VFIO; way++) {
		expect(0, give(way, memory, PAGE, &bus));
		assert_int_equal(status_kib("VmLck:"), before + page);
		expect(0, take_back(way, PAGE, bus));
		assert_int_equal(status_kib("VmLck:"), before + page);
		assert_int_equal(quiet(), PAGE);
		assert_int_equal(status_kib("VmLck:"), before);
	}
	mem_free(memory, PAGE);
}

/* Memory of a function goes when the function was stopped, by whichever pin was the last one. */
static void last_pin_releases(void **state)
{
	char *memory = mem_pages(3);
	uint32_t pin[3], i;

	(void)state;
	assert_non_null(memory);
	expect(0, vfio_set_bus_master(&alone.edu, true));
	for (i = 0; i < 3; i++)
		expect(0, flat_pin(alone.flat, EDU, memory + i * PAGE, PAGE, 0, &pin[i]));
	expect(0, flat_unpin(alone.flat, pin[1]));
	expect(0, flat_unpin(alone.flat, pin[0]));
	expect(-ENOENT, flat_unpin(alone.flat, pin[0]));
	expect(1, vfio_bus_master(&alone.edu));
	expect_held(2 * PAGE);
	assert_int_equal(pins(), alone.pins_before + 3);
	expect(0, flat_unpin(alone.flat, pin[2]));
	expect(0, vfio_bus_master(&alone.edu));
	expect_held(0);
	assert_int_equal(pins(), alone.pins_before);
	mem_free(memory, 3 * PAGE);
}

/* Pins a page. */
static uint32_t pin_for(const struct flatiommu_function *functions, unsigned int n, const char *memory)
{
	struct flatiommu_pin arg = {
		.size = sizeof(arg),
		.nr_functions = n,
		.functions = (uintptr_t)functions,
		.vaddr = (uintptr_t)memory,
		.length = PAGE,
	};

	expect(0, flat_call(alone.flat, FLATIOMMU_PIN, &arg));
	return arg.out_pin;
}

/* A pin is for two functions, and one of them goes on. */
static void each_function_is_asked(void **state)
{
	struct flatiommu_function both[] = { flat_function(EDU), flat_function(FN1) };
	char *memory = mem_pages(2);
	uint32_t pin[2];

	(void)state;
	assert_non_null(memory);
	pin[0] = pin_for(both, 2, memory);
	expect(0, flat_pin(alone.flat, FN1, memory + PAGE, PAGE, 0, &pin[1]));
	expect(0, flat_unpin(alone.flat, pin[0]));
	/* edu was stopped, and the other one was not. */
	expect_held(PAGE);
	expect(0, flat_unpin(alone.flat, pin[1]));
	expect_held(0);
	mem_free(memory, 2 * PAGE);
}

/* What is held is gone through in parts: pins of a function that goes on stay, in their order. */
static void many_are_gone_through(void **state)
{
	enum { MANY = 600 };
	char *memory = mem_pages(MANY + 2);
	uint32_t pin[MANY + 2], i;

	(void)state;
	assert_non_null(memory);
	for (i = 0; i < MANY + 2; i++)
		expect(0, flat_pin(alone.flat, i == MANY ? FN1 : EDU, memory + i * PAGE, PAGE, 0, &pin[i]));
	for (i = 0; i < MANY; i++)
		expect(0, flat_unpin(alone.flat, pin[i]));
	expect_held(MANY * PAGE);
	expect(0, flat_unpin(alone.flat, pin[MANY]));
	expect_held(MANY * PAGE);
	assert_int_equal(pins(), alone.pins_before + MANY + 1);
	expect(0, flat_unpin(alone.flat, pin[MANY + 1]));
	expect_held(0);
	assert_int_equal(pins(), alone.pins_before);
	mem_free(memory, (MANY + 2) * PAGE);
}

static void no_stop_is_not_held(void **state)
{
	char *memory = mem_pages(2);
	uint32_t pin[2];

	(void)state;
	assert_non_null(memory);
	expect(0, flat_pin(alone.flat, EDU, memory, PAGE, 0, &pin[0]));
	expect(0, flat_pin(alone.flat, EDU, memory + PAGE, PAGE, FLATIOMMU_PIN_NO_STOP, &pin[1]));
	expect(0, flat_unpin(alone.flat, pin[1]));
	expect_held(0);
	assert_int_equal(pins(), alone.pins_before + 1);
	expect(0, flat_unpin(alone.flat, pin[0]));
	mem_free(memory, 2 * PAGE);
}

static void unmap_pages(enum way way, char *memory, unsigned int n)
{
	uint64_t bus;

	for (; n--; memory += PAGE) {
		expect(0, give(way, memory, PAGE, &bus));
		expect(0, take_back(way, PAGE, bus));
	}
}

static void limit_releases_the_oldest(void **state)
{
	long released = read_number(RELEASED);
	char *memory = mem_pages(5), limit[32];
	uint32_t other;
	enum way way;

	(void)state;
	assert_non_null(memory);
	snprintf(limit, sizeof(limit), "%zu", 3 * PAGE);
	expect(0, set("hold_limit", limit));
	expect(0, flat_pin(alone.flat, EDU, memory, PAGE, 0, &other));
	for (way = 0; way < WAYS; way++) {
		expect(0, vfio_set_bus_master(&alone.edu, true));
		unmap_pages(way, memory, 5);
		expect_held(3 * PAGE);
		released += 2 * (long)PAGE;
		assert_int_equal(read_number(RELEASED), released);
		expect(1, vfio_bus_master(&alone.edu));
		assert_int_equal(quiet(), 3 * PAGE);
	}
	expect(0, flat_unpin(alone.flat, other));
	mem_free(memory, 5 * PAGE);
}

static void limit_fences(void **state)
{
	struct vfio_dev fn1 = VFIO_DEV_INIT;
	char *memory = mem_pages(4), limit[32];
	int container = -1;
	uint32_t other;
	enum way way;

	(void)state;
	assert_non_null(memory);
	snprintf(limit, sizeof(limit), "%zu", 3 * PAGE);
	expect(0, set("hold_limit", limit));
	expect(0, set("on_hold_full", "fence"));
	expect(0, flat_pin(alone.flat, EDU, memory, PAGE, 0, &other));
	/* In another I/O address space. */
	expect(0, vfio_open_alone(&fn1, &container, FN1));
	expect(0, log_mark());
	for (way = 0; way < WAYS; way++) {
		expect(0, vfio_set_bus_master(&alone.edu, true));
		unmap_pages(way, memory, 3);
		expect_held(3 * PAGE);
		expect(1, vfio_bus_master(&alone.edu));
		unmap_pages(way, memory, 1);
		expect_held(0);
		expect(0, vfio_bus_master(&alone.edu));
		expect(1, vfio_bus_master(&fn1));
	}
	assert_int_not_equal(log_count("more than hold_limit="), 0);
	vfio_close(&fn1);
	close_fd(&container);
	expect(0, flat_unpin(alone.flat, other));
	mem_free(memory, 4 * PAGE);
}

static int quiet_by_child(void *arg)
{
	uint64_t length;
	int ret = quiet_by(*(int *)arg, &length);

	return ret ? ret : length ? -EIO : 0;
}

static int quiet_of_its_own(void *arg)
{
	int flat = flat_open(), ret = flat < 0 ? flat : quiet_by_child(&flat);

	(void)arg;
	close_fd(&flat);
	return ret;
}

static int quiet_without_capability(void *arg)
{
	uint64_t length;
	int flat = flat_open(), ret;

	(void)arg;
	if (flat < 0)
		return flat;
	ret = drop_capability(CAP_SYS_RAWIO);
	return ret ? ret : quiet_by(flat, &length);
}

/* Neither a program that got the file nor one that has opened its own speaks for another one. */
static void quiet_is_of_the_caller(void **state)
{
	int tell[2];
	pid_t pid;

	(void)state;
	expect(0, huge_pages(1));
	unmap_huge(MAP);
	expect_held(HUGE_PAGE);
	expect(-EPERM, in_child(quiet_by_child, &alone.flat));
	expect(0, in_child(quiet_of_its_own, NULL));
	expect(-EPERM, in_child(quiet_without_capability, NULL));
	expect_held(HUGE_PAGE);
	assert_false(is_free());
	pid = begin_holder(tell);
	expect_held(HUGE_PAGE + 2 * PAGE);
	assert_int_equal(quiet(), HUGE_PAGE);
	assert_true(is_free());
	expect_held(2 * PAGE);
	end_holder(pid);
	assert_true(wait_until(nothing_is_held, NULL));
}

static int unmap_for_the_parent(void *arg)
{
	uint64_t *bus = arg;

	return vfio_unmap(alone.container, *bus, PAGE);
}

/* @functions are done. How many bytes were held. */
static int quiet_of(const struct flatiommu_function *functions, unsigned int n, uint64_t *length)
{
	struct flatiommu_quiet arg = {
		.size = sizeof(arg),
		.nr_functions = n,
		.functions = (uintptr_t)functions,
	};
	int ret = flat_call(alone.flat, FLATIOMMU_QUIET, &arg);

	*length = arg.out_length;
	return ret;
}

/* What others may still write to is held. */
static void quiet_of_functions(void **state)
{
	struct flatiommu_function both[] = { flat_function(EDU), flat_function(FN1) };
	struct flatiommu_function none[] = { flat_function(EDU), flat_function("0000:7f:1f.7") };
	long before = status_kib("VmLck:"), page = (long)PAGE / 1024;
	struct vfio_dev fn1 = VFIO_DEV_INIT;
	char *memory = mem_pages(3);
	int container = -1;
	uint64_t length, bus;
	uint32_t pin, left[2];

	(void)state;
	assert_non_null(memory);
	expect(0, vfio_open_alone(&fn1, &container, FN1));
	unmap_pages(MAP, memory, 1);
	expect(0, vfio_map_at_bus(container, memory, PAGE, &bus));
	expect(0, vfio_unmap(container, bus, PAGE));
	expect_held(2 * PAGE);
	expect(0, quiet_of(&both[1], 1, &length));
	assert_int_equal(length, PAGE);
	expect(0, quiet_of(&both[1], 1, &length));
	assert_int_equal(length, 0);
	expect_held(PAGE);
	expect(0, quiet_of(both, 2, &length));
	assert_int_equal(length, PAGE);

	/* Pins of the file. */
	expect(0, flat_pin(alone.flat, EDU, memory, PAGE, 0, &left[0]));
	expect(0, flat_pin(alone.flat, FN1, memory, PAGE, 0, &left[1]));
	pin = pin_for(both, 2, memory + PAGE);
	expect(0, flat_unpin(alone.flat, pin));
	pin = pin_for(both, 1, memory + 2 * PAGE);
	expect(0, flat_unpin(alone.flat, pin));
	expect_held(2 * PAGE);
	assert_int_equal(status_kib("VmLck:"), before + 4 * page);
	expect(0, quiet_of(both, 1, &length));
	assert_int_equal(length, PAGE);
	assert_int_equal(status_kib("VmLck:"), before + 3 * page);
	expect(0, quiet_of(both, 2, &length));
	assert_int_equal(length, PAGE);
	assert_int_equal(status_kib("VmLck:"), before + 2 * page);
	expect(0, flat_unpin(alone.flat, left[0]));
	expect(0, flat_unpin(alone.flat, left[1]));
	assert_int_equal(status_kib("VmLck:"), before);

	/* Both in one I/O address space. */
	vfio_close(&fn1);
	close_fd(&container);
	expect(0, vfio_open(&fn1, alone.container, FN1));
	unmap_pages(MAP, memory, 1);
	expect(0, quiet_of(both, 1, &length));
	assert_int_equal(length, 0);
	expect_held(PAGE);
	expect(-ENODEV, quiet_of(none, 2, &length));
	expect(-EINVAL, quiet_of(both, FLATIOMMU_MAX_FUNCTIONS + 1, &length));
	expect(-EFAULT, quiet_of(NULL, 1, &length));
	expect_held(PAGE);
	expect(0, quiet_of(both, 2, &length));
	assert_int_equal(length, PAGE);
	vfio_close(&fn1);
	mem_free(memory, 3 * PAGE);
}

/* If two programs have unmapped memory in one I/O address space, it is held to the end of that. */
static void nobody_speaks_for_two(void **state)
{
	char *memory = mem_pages(2);
	uint64_t bus[2];

	(void)state;
	assert_non_null(memory);
	expect(0, vfio_map_at_bus(alone.container, memory, PAGE, &bus[0]));
	expect(0, vfio_map_at_bus(alone.container, memory + PAGE, PAGE, &bus[1]));
	expect(0, vfio_unmap(alone.container, bus[0], PAGE));
	expect(0, in_child(unmap_for_the_parent, &bus[1]));
	expect_held(2 * PAGE);
	assert_int_equal(quiet(), 0);
	expect_held(2 * PAGE);
	vfio_close(&alone.edu);
	assert_true(wait_until(nothing_is_held, NULL));
	mem_free(memory, 2 * PAGE);
}

static uint64_t bus_of_child;

static int unmap_and_be_quiet(void *arg)
{
	int flat = flat_open(), ret = vfio_unmap(alone.container, bus_of_child, PAGE);
	uint64_t length = 0;

	(void)arg;
	if (!ret)
		ret = flat < 0 ? flat : quiet_by(flat, &length);
	close_fd(&flat);
	return ret ? ret : length == PAGE ? 0 : -EIO;
}

/* Once all of it was given back at the limit, each program speaks for what it unmaps from then on. */
static void limit_ends_what_two_have_unmapped(void **state)
{
	long before = status_kib("VmLck:");
	char *memory = mem_pages(3), limit[32];
	uint64_t bus[2];

	(void)state;
	assert_non_null(memory);
	snprintf(limit, sizeof(limit), "%zu", PAGE);
	expect(0, vfio_map_at_bus(alone.container, memory, PAGE, &bus[0]));
	expect(0, vfio_map_at_bus(alone.container, memory + PAGE, PAGE, &bus[1]));
	expect(0, vfio_map_at_bus(alone.container, memory + 2 * PAGE, PAGE, &bus_of_child));
	expect(0, vfio_unmap(alone.container, bus[0], PAGE));
	expect(0, set("on_hold_full", "fence"));
	expect(0, set("hold_limit", limit));
	expect(0, in_child(unmap_for_the_parent, &bus[1]));
	expect_held(0);
	assert_int_equal(status_kib("VmLck:"), before + (long)PAGE / 1024);
	expect(0, in_child(unmap_and_be_quiet, NULL));
	expect_held(0);
	assert_int_equal(status_kib("VmLck:"), before);
	unmap_pages(MAP, memory, 1);
	expect_held(PAGE);
	assert_int_equal(quiet(), PAGE);
	mem_free(memory, 3 * PAGE);
}

/* A function was stopped by the last pin of another file. */
static void last_pin_of_another_file(void **state)
{
	long before = status_kib("VmLck:");
	char *memory = mem_pages(2);
	int other, i;
	uint32_t pin[2];

	(void)state;
	assert_non_null(memory);
	for (i = 0; i < 2; i++) {
		other = expect_good(flat_open());
		expect(0, vfio_set_bus_master(&alone.edu, true));
		expect(0, flat_pin(alone.flat, EDU, memory, PAGE, 0, &pin[0]));
		expect(0, flat_pin(other, EDU, memory + PAGE, PAGE, 0, &pin[1]));
		expect(0, flat_unpin(alone.flat, pin[0]));
		expect_held(PAGE);
		expect(1, vfio_bus_master(&alone.edu));
		if (!i)
			expect(0, flat_unpin(other, pin[1]));
		close_fd(&other);
		expect(0, vfio_bus_master(&alone.edu));
		expect_held(0);
		assert_int_equal(pins(), alone.pins_before);
		assert_int_equal(status_kib("VmLck:"), before);
	}
	mem_free(memory, 2 * PAGE);
}

/* One claim says hold: it is for all that share its I/O address space or its pins, as long as they do. */
static void claim_holds(void **state)
{
	struct flatiommu_function both[] = { flat_function(EDU), flat_function(FN1) };
	struct vfio_dev fn1 = VFIO_DEV_INIT;
	char *memory = mem_pages(2);
	int container = -1;
	uint32_t pin, left[2];
	uint64_t bus;
	enum way way;
	bool hit;

	expect(0, alone_close(state));
	expect(0, pci_take_again(EDU, "/hold"));
	expect(0, open_edu(state));
	expect(FLATIOMMU_STATE_HOLD, flat_state(alone.flat, EDU) & (FLATIOMMU_STATE_HOLD | FLATIOMMU_STATE_FENCE));
	expect(0, flat_state(alone.flat, FN1) & (FLATIOMMU_STATE_HOLD | FLATIOMMU_STATE_FENCE));
	for (way = 0; way < WAYS; way++) {
		assert_false(make_mistake(way, ORDINARY, &hit));
		assert_false(hit);
		assert_int_equal(quiet(), way == PIN_ALONE ? 0 : PAGE);
	}
	expect(0, flat_pin(alone.flat, EDU, memory, PAGE, 0, &left[0]));
	expect(0, flat_pin(alone.flat, FN1, memory, PAGE, 0, &left[1]));
	pin = pin_for(&both[1], 1, memory + PAGE);
	expect(0, flat_unpin(alone.flat, pin));
	expect_held(0);
	pin = pin_for(both, 2, memory + PAGE);
	expect(0, flat_unpin(alone.flat, pin));
	expect_held(PAGE);
	assert_int_equal(quiet(), PAGE);
	expect(0, flat_unpin(alone.flat, left[0]));
	expect(0, flat_unpin(alone.flat, left[1]));

	expect(0, vfio_open_alone(&fn1, &container, FN1));
	expect(0, vfio_map_at_bus(container, memory, PAGE, &bus));
	expect(0, vfio_unmap(container, bus, PAGE));
	expect_held(0);
	/* With the other one, it is held. */
	vfio_close(&alone.edu);
	expect(0, vfio_open(&alone.edu, container, EDU));
	expect(0, vfio_map_at_bus(container, memory, PAGE, &bus));
	expect(0, vfio_unmap(container, bus, PAGE));
	expect_held(PAGE);
	assert_int_equal(quiet(), PAGE);
	/* Without it, no more. */
	vfio_close(&alone.edu);
	expect(0, vfio_map_at_bus(container, memory, PAGE, &bus));
	expect(0, vfio_unmap(container, bus, PAGE));
	expect_held(0);
	vfio_close(&fn1);
	close_fd(&container);
	expect(0, alone_close(state));
	expect(0, pci_take_again(EDU, ""));
	mem_free(memory, 2 * PAGE);
	expect(0, open_edu(state));
}

/* Registers of a device are nobody's memory. */
static void registers_are_not_held(void **state)
{
	uint64_t start, size;

	(void)state;
	expect(0, pci_bar(EDU, 0, &start, &size));
	expect(0, vfio_map(alone.container, alone.edu.bar0, start, PAGE));
	expect(0, vfio_unmap(alone.container, start, PAGE));
	expect_held(0);
}

static void takes_only_its_words(void **state)
{
	static const char *const wrong[][2] = {
		{ "on_unmap", "keep" }, { "on_hold_full", "newest" }, { "hold_limit", "much" }, { "hold_limit", "1Q" },
	};
	char text[32];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		expect(-EINVAL, set(wrong[i][0], wrong[i][1]));
	expect_good(read_text(PARAMETERS "on_unmap", text, sizeof(text)));
	assert_string_equal(text, "free");
	expect_good(read_text(PARAMETERS "on_hold_full", text, sizeof(text)));
	assert_string_equal(text, "oldest");
	expect(0, set("hold_limit", "16K"));
	assert_int_equal(read_number(PARAMETERS "hold_limit"), 16384);
	expect(0, set("hold_limit", "256M"));
}

/* The module may be asked at any time to hold no more. */
static void turned_off_meanwhile(void **state)
{
	(void)state;
	expect(0, huge_pages(1));
	unmap_huge(MAP);
	expect(0, set("on_unmap", "free"));
	expect_held(HUGE_PAGE);
	assert_false(is_free());
	assert_int_equal(quiet(), HUGE_PAGE);
	unmap_huge(MAP);
	expect_held(0);
	assert_true(is_free());
}

/* edu by iommufd, instead of its group. */
static struct {
	int iommufd, device;
	uint32_t ioas, spare;
	char unsafe[8];		/* the parameter before the test */
} nodes;

static void open_nodes(void)
{
	if (!cdev_is_there())
		skip_for("this kernel has no iommufd");
	vfio_close(&alone.edu);
	close_fd(&alone.container);
	assert_true(read_text(IOMMUFD_UNSAFE, nodes.unsafe, sizeof(nodes.unsafe)) > 0);
	expect(0, write_text(IOMMUFD_UNSAFE, "1"));
	nodes.iommufd = expect_good(iommufd_open());
	nodes.ioas = (uint32_t)expect_good(iommufd_alloc_ioas(nodes.iommufd));
	nodes.spare = (uint32_t)expect_good(iommufd_alloc_ioas(nodes.iommufd));
	nodes.device = expect_good(cdev_open(EDU));
	expect_good(cdev_bind(nodes.device, nodes.iommufd));
	expect(0, cdev_attach(nodes.device, nodes.ioas));
}

static void close_nodes(void)
{
	close_fd(&nodes.device);
	close_fd(&nodes.iommufd);
	expect(0, write_text(IOMMUFD_UNSAFE, nodes.unsafe));
}

static void by_iommufd(void **state)
{
	char *memory;
	uint64_t bus;

	(void)state;
	open_nodes();
	expect(0, huge_pages(1));
	memory = mem_huge();
	assert_non_null(memory);
	expect(0, iommufd_map_at_bus(nodes.iommufd, nodes.ioas, memory, HUGE_PAGE, &bus));
	expect(0, iommufd_unmap(nodes.iommufd, nodes.ioas, bus, HUGE_PAGE));
	mem_free(memory, HUGE_PAGE);
	expect_held(HUGE_PAGE);
	assert_false(is_free());
	/* A page table of iommufd's own ends with its last function. */
	expect(0, cdev_detach(nodes.device));
	expect_held(0);
	assert_true(is_free());
	close_nodes();
}

static int take_out(void *arg)
{
	int ret = iommufd_copy(nodes.iommufd, nodes.ioas, LOOKUP_IOVA, nodes.spare, LOOKUP_IOVA, 2 * PAGE);

	(void)arg;
	return ret ? ret : iommufd_unmap(nodes.iommufd, nodes.ioas, LOOKUP_IOVA, 2 * PAGE);
}

/* Only the first of the pages, which are not neighbours, has this bus address. */
static int put_back_wrong(void *arg)
{
	const uint64_t *bus = arg;

	return iommufd_copy(nodes.iommufd, nodes.spare, LOOKUP_IOVA, nodes.ioas, *bus, 2 * PAGE);
}

/*
 * While iommufd reads memory of another program than the caller, it has that program's address space locked. If it then
 * undoes a part of a map, and so something is given back at the limit, that must not wait for the same lock.
 */
static void limit_waits_for_nobody(void **state)
{
	const size_t count = 128;
	/* Shared, so that a child is no reason to copy it. */
	char *file = mem_file_scattered(count), *memory = file, *pinned = mem_pages(1);
	uint64_t bus;
	uint32_t pin;

	(void)state;
	assert_true(file && pinned);
	while (bus_address(memory) + PAGE == bus_address(memory + PAGE))
		memory += PAGE;
	assert_true(memory < file + (count - 1) * PAGE);
	open_nodes();
	expect(0, iommufd_map(nodes.iommufd, nodes.ioas, memory, LOOKUP_IOVA, 2 * PAGE));
	bus = bus_address(memory);
	expect(0, flat_pin(alone.flat, EDU, pinned, PAGE, FLATIOMMU_PIN_VFIO, &pin));
	/* So the pages that are held are the child's, but the pin is accounted to this program. */
	expect(0, in_child(take_out, NULL));
	expect(0, flat_unpin(alone.flat, pin));
	expect_held(3 * PAGE);
	expect(0, set("hold_limit", "0"));
	expect(-EADDRNOTAVAIL, in_child(put_back_wrong, &bus));
	expect_held(0);
	close_nodes();
	mem_free(file, count * PAGE);
	mem_free(pinned, PAGE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_with_hold, close_edu)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(takes_only_its_words, open_edu, close_edu),
		cmocka_unit_test_setup_teardown(free_is_hit, open_edu, close_edu),
		TEST(hold_is_never_hit),
		TEST(close_releases),
		TEST(death_releases),
		TEST(counts_as_locked),
		TEST(last_pin_releases),
		TEST(each_function_is_asked),
		TEST(many_are_gone_through),
		TEST(no_stop_is_not_held),
		TEST(limit_releases_the_oldest),
		TEST(limit_fences),
		TEST(quiet_is_of_the_caller),
		TEST(nobody_speaks_for_two),
		TEST(quiet_of_functions),
		TEST(limit_ends_what_two_have_unmapped),
		TEST(last_pin_of_another_file),
		cmocka_unit_test_setup_teardown(claim_holds, open_edu, close_edu),
		TEST(registers_are_not_held),
		TEST(turned_off_meanwhile),
		TEST(by_iommufd),
		TEST(limit_waits_for_nobody),
	};

	return run_group(tests, begin, end);
}
