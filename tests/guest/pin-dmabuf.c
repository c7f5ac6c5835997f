// SPDX-License-Identifier: MIT
/* PIN of dma-bufs: of memory, which a module of the test exports, and of others, which fails. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../module/exporter.h"
#include "alone.h"
#include "caps.h"
#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define SIZE (EXPORTER_PAGES * PAGE)
/* An attachment, and the table of its few entries, count as a page each. */
#define OVERHEAD (2 * PAGE)
#define EXPORTER_PARAMETERS "/sys/module/exporter/parameters/"

static const char *const devices[] = { EDU, NULL };

static int exporter = -1;

static int begin(void **state)
{
	int ret = module_load("/flatiommu/exporter.ko", "");

	(void)state;
	if (ret == -EOPNOTSUPP)
		skip_all("this kernel has no dma-bufs");
	if (!ret)
		ret = flat_begin(devices);
	if (ret)
		return ret;
	exporter = open("/dev/exporter", O_RDWR | O_CLOEXEC);
	return exporter < 0 ? -errno : 0;
}

/* The exporter can be unloaded: nothing of it is in use. */
static int end(void **state)
{
	int ret = flat_end(devices);

	(void)state;
	close_fd(&exporter);
	return ret ? ret : module_unload("exporter");
}

static long count(const char *what)
{
	char path[96];

	snprintf(path, sizeof(path), EXPORTER_PARAMETERS "%s", what);
	return read_number(path);
}

static bool is_gone(void *arg)
{
	(void)arg;
	return !count("buffers") && !count("attached") && !count("mapped") && !count("pinned");
}

static bool is_detached(void *arg)
{
	(void)arg;
	return !count("attached") && !count("mapped") && !count("pinned");
}

static int set(const char *parameter, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), PARAMETERS "%s", parameter);
	return write_text(path, value);
}

/* After each test the exporter has everything back. */
static int close_all(void **state)
{
	int ret = alone_close(state);

	if (!wait_until(is_gone, NULL)) {
		fprintf(stderr, "%ld dma-bufs, %ld attached, %ld mapped, %ld pinned\n", count("buffers"),
			count("attached"), count("mapped"), count("pinned"));
		ret = -1;
	}
	return set("on_unmap", "free") || set("hold_limit", "256M") ? -1 : ret;
}

/* *@address: of registers; else gets the physical address of the dma-buf's second page, which the others follow. */
static int make_file(enum exporter_kind kind, uint32_t flags, uint64_t *address)
{
	struct exporter_buffer arg = { .kind = kind, .flags = flags, .address = *address };
	int fd = expect_good(ioctl(exporter, EXPORTER_MAKE, &arg));

	*address = arg.address;
	return fd;
}

static int make(enum exporter_kind kind, uint64_t *address)
{
	return make_file(kind, O_RDWR, address);
}

static int pin_part(int dmabuf, uint64_t at, uint64_t length, uint32_t flags, uint32_t *pin)
{
	struct flatiommu_function function = flat_function(EDU);
	struct flatiommu_pin arg = {
		.size = sizeof(arg),
		.flags = FLATIOMMU_PIN_DMABUF | flags,
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
		.vaddr = at,
		.length = length,
		.dmabuf = dmabuf,
	};
	int ret = flat_call(alone.flat, FLATIOMMU_PIN, &arg);

	*pin = arg.out_pin;
	return ret;
}

static int pin_all(int dmabuf, uint32_t flags, uint32_t *pin)
{
	return pin_part(dmabuf, 0, SIZE, flags, pin);
}

/* The device writes to @bus, and reads the same there. */
static void expect_dma(uint64_t bus, uint32_t seed)
{
	char *memory = mem_pages(1);
	uint64_t own;
	uint32_t pin;

	assert_non_null(memory);
	expect(0, flat_pin(alone.flat, EDU, memory, PAGE, FLATIOMMU_PIN_NO_STOP, &pin));
	own = flat_address_in_pin(alone.flat, EDU, pin, 0);
	expect(0, vfio_set_bus_master(&alone.edu, true));
	fill(memory, EDU_COPY, seed);
	expect(0, edu_load(alone.edu.bar0, own, EDU_COPY));
	expect(0, edu_store(alone.edu.bar0, bus, EDU_COPY));
	memset(memory, 0, EDU_COPY);
	expect(0, edu_load(alone.edu.bar0, own, EDU_COPY));
	expect(0, edu_load(alone.edu.bar0, bus, EDU_COPY));
	expect(0, edu_store(alone.edu.bar0, own, EDU_COPY));
	assert_true(is_filled(memory, EDU_COPY, seed));
	expect(0, flat_unpin(alone.flat, pin));
	mem_free(memory, PAGE);
}

static void pages_are_where_they_are(void **state)
{
	long locked = status_kib("VmLck:"), before = pins();
	struct flatiommu_segment segments[EXPORTER_PAGES];
	uint64_t base = 0;
	uint32_t pin, part;
	int dmabuf;

	(void)state;
	dmabuf = make(EXPORTER_MEMORY, &base);
	expect(0, pin_all(dmabuf, 0, &pin));
	expect(2, flat_lookup_pin(alone.flat, EDU, pin, 0, SIZE, segments, EXPORTER_PAGES));
	assert_int_equal(segments[0].address, base + SIZE - PAGE);
	assert_int_equal(segments[0].length, PAGE);
	assert_int_equal(segments[0].flags, 0);
	assert_int_equal(segments[1].address, base);
	assert_int_equal(segments[1].length, SIZE - PAGE);
	expect_dma(segments[0].address, 1);
	expect_dma(segments[1].address + PAGE, 2);
	/* The exporter holds and counts the memory. */
	assert_int_equal(status_kib("VmLck:"), locked + OVERHEAD / 1024);
	assert_int_equal(pins(), before);
	assert_int_equal(count("attached"), 1);
	assert_int_equal(count("mapped"), 1);
	/* From inside the second page to inside the third one; from inside the last one to its end. */
	expect(0, pin_part(dmabuf, PAGE + 100, PAGE, 0, &part));
	assert_int_equal(flat_address_in_pin(alone.flat, EDU, part, 0), base + 100);
	assert_int_equal(flat_address_in_pin(alone.flat, EDU, part, PAGE - 1), base + PAGE + 99);
	assert_int_equal(count("attached"), 2);
	expect(0, flat_unpin(alone.flat, part));
	expect(0, pin_part(dmabuf, SIZE - 1, 1, 0, &part));
	assert_int_equal(flat_address_in_pin(alone.flat, EDU, part, 0), base + SIZE - PAGE - 1);
	expect(0, flat_unpin(alone.flat, part));
	expect(0, flat_unpin(alone.flat, pin));
	assert_int_equal(count("attached"), 0);
	assert_int_equal(count("mapped"), 0);
	assert_int_equal(pins(), before);
	assert_int_equal(status_kib("VmLck:"), locked);
	close(dmabuf);
}

/* Without a limit, pins of one byte could take more memory than there is. */
static int pin_within_limit(void *arg)
{
	const struct rlimit limit = { 2 * OVERHEAD, 2 * OVERHEAD };
	int *dmabuf = arg, ret;
	uint32_t pin[3];

	alone.flat = flat_open();
	setrlimit(RLIMIT_MEMLOCK, &limit);
	ret = drop_capability(CAP_IPC_LOCK);
	if (!ret)
		ret = pin_part(*dmabuf, 0, 1, FLATIOMMU_PIN_NO_STOP, &pin[0]);
	if (!ret)
		ret = pin_part(*dmabuf, 0, 1, FLATIOMMU_PIN_NO_STOP, &pin[1]);
	if (ret)
		return ret;
	if (pin_part(*dmabuf, 0, 1, FLATIOMMU_PIN_NO_STOP, &pin[2]) != -ENOMEM)
		return -E2BIG;
	if (count("attached") != 2)
		return -EBUSY;
	ret = flat_unpin(alone.flat, pin[0]);
	if (!ret)
		ret = pin_part(*dmabuf, 0, 1, FLATIOMMU_PIN_NO_STOP, &pin[2]);
	return ret;
}

static void attachments_are_accounted(void **state)
{
	uint64_t base = 0;
	int dmabuf = make(EXPORTER_MEMORY, &base);

	(void)state;
	expect(0, in_child(pin_within_limit, &dmabuf));
	close(dmabuf);
}

/* An exporter that may move its memory does not, as long as it is pinned. */
static void what_moves_is_pinned(void **state)
{
	uint64_t base = 0;
	uint32_t pin;
	int dmabuf;

	(void)state;
	dmabuf = make(EXPORTER_MOVES, &base);
	expect(0, pin_all(dmabuf, FLATIOMMU_PIN_READ_ONLY, &pin));
	assert_int_equal(flat_address_in_pin(alone.flat, EDU, pin, PAGE), base);
	assert_int_equal(count("pinned"), 1);
	expect(0, flat_unpin(alone.flat, pin));
	assert_int_equal(count("pinned"), 0);
	close(dmabuf);
}

/* Each fails for itself, and leaves nothing attached. */
static void what_is_no_memory(void **state)
{
	uint64_t bar, size, none = 0;
	uint32_t pin;
	int dmabuf;

	(void)state;
	expect(0, pci_bar(EDU, 0, &bar, &size));
	dmabuf = make(EXPORTER_REGISTERS, &bar);
	expect(-EFAULT, pin_all(dmabuf, 0, &pin));
	assert_true(is_detached(NULL));
	close(dmabuf);
	/* Where nothing is at all. */
	bar = 1ull << 51;
	dmabuf = make(EXPORTER_REGISTERS, &bar);
	expect(-EFAULT, pin_all(dmabuf, 0, &pin));
	assert_true(is_detached(NULL));
	close(dmabuf);
	dmabuf = make(EXPORTER_PEERS, &none);
	expect(-EFAULT, pin_all(dmabuf, 0, &pin));
	assert_true(is_detached(NULL));
	close(dmabuf);
}

static void what_is_no_pages(void **state)
{
	uint64_t base = 0;
	uint32_t pin;
	int dmabuf;

	(void)state;
	dmabuf = make(EXPORTER_UNEVEN, &base);
	expect(-EFAULT, pin_part(dmabuf, 0, PAGE, 0, &pin));
	assert_true(is_detached(NULL));
	close(dmabuf);
}

static void what_is_not_there(void **state)
{
	uint64_t base = 0;
	uint32_t pin;
	int dmabuf, null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	dmabuf = make(EXPORTER_SHORT, &base);
	expect(0, pin_part(dmabuf, 0, SIZE - PAGE, 0, &pin));
	expect(0, flat_unpin(alone.flat, pin));
	expect(-EFAULT, pin_all(dmabuf, 0, &pin));
	assert_true(is_detached(NULL));
	close(dmabuf);
	dmabuf = make(EXPORTER_BUSY, &base);
	expect(-EFAULT, pin_all(dmabuf, 0, &pin));
	assert_true(is_detached(NULL));
	close(dmabuf);
	dmabuf = make(EXPORTER_MEMORY, &base);
	expect(-EFAULT, pin_part(dmabuf, 0, SIZE + 1, 0, &pin));
	expect(-EFAULT, pin_part(dmabuf, SIZE, 1, 0, &pin));
	expect(-EFAULT, pin_part(dmabuf, ~0ull - PAGE, PAGE, 0, &pin));
	expect(-EINVAL, pin_part(dmabuf, ~0ull, PAGE, 0, &pin));
	expect(-EINVAL, pin_part(dmabuf, 0, 0, 0, &pin));
	assert_true(is_detached(NULL));
	close(dmabuf);
	expect(-EINVAL, pin_all(null, 0, &pin));
	close(null);
	expect(-EBADF, pin_all(null, 0, &pin));
	expect(-EBADF, pin_all(-1, 0, &pin));
}

/* A program that was built with an older header has no member for the file descriptor. */
static void has_its_member(void **state)
{
	struct flatiommu_function function = flat_function(EDU);
	struct flatiommu_pin arg = {
		.size = offsetof(struct flatiommu_pin, dmabuf),
		.flags = FLATIOMMU_PIN_DMABUF,
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
		.length = PAGE,
	};
	uint64_t base = 0;
	int dmabuf = make(EXPORTER_MEMORY, &base), input = dup(STDIN_FILENO);

	(void)state;
	/* so that 0 would do */
	dup2(dmabuf, STDIN_FILENO);
	expect(-EINVAL, flat_call(alone.flat, FLATIOMMU_PIN, &arg));
	arg.size = sizeof(arg);
	expect(0, flat_call(alone.flat, FLATIOMMU_PIN, &arg));
	expect(0, flat_unpin(alone.flat, arg.out_pin));
	if (input < 0) {
		close(STDIN_FILENO);
	} else {
		dup2(input, STDIN_FILENO);
		close(input);
	}
	close(dmabuf);
}

/* A file for reading lets no device write. */
static void readers_let_nobody_write(void **state)
{
	uint64_t base = 0;
	uint32_t pin;
	int dmabuf;

	(void)state;
	dmabuf = make_file(EXPORTER_MEMORY, O_RDONLY, &base);
	expect(-EFAULT, pin_all(dmabuf, 0, &pin));
	assert_true(is_detached(NULL));
	expect(0, pin_all(dmabuf, FLATIOMMU_PIN_READ_ONLY, &pin));
	expect(0, flat_unpin(alone.flat, pin));
	close(dmabuf);
}

/* The pin holds the memory, and the exporter's module, without a file descriptor. */
static void outlives_its_file(void **state)
{
	uint64_t base = 0;
	uint32_t pin;
	int dmabuf;

	(void)state;
	dmabuf = make(EXPORTER_MEMORY, &base);
	expect(0, pin_all(dmabuf, 0, &pin));
	close(dmabuf);
	assert_int_equal(count("buffers"), 1);
	expect_dma(base, 3);
	/* It is the last pin of the function, which is stopped first. */
	expect(0, vfio_set_bus_master(&alone.edu, true));
	expect(0, flat_unpin(alone.flat, pin));
	expect(0, vfio_bus_master(&alone.edu));
	assert_true(wait_until(is_gone, NULL));
}

static void close_ends_it(void **state)
{
	uint64_t base = 0;
	uint32_t pin;
	int dmabuf;

	(void)state;
	dmabuf = make(EXPORTER_MOVES, &base);
	expect(0, pin_all(dmabuf, 0, &pin));
	expect(0, vfio_set_bus_master(&alone.edu, true));
	close_fd(&alone.flat);
	expect(0, vfio_bus_master(&alone.edu));
	assert_true(is_detached(NULL));
	close(dmabuf);
	assert_true(wait_until(is_gone, NULL));
}

static int pin_and_die(void *arg)
{
	int dmabuf = *(int *)arg;
	uint32_t pin;

	alone.flat = flat_open();
	return alone.flat < 0 ? alone.flat : pin_all(dmabuf, FLATIOMMU_PIN_NO_STOP, &pin);
}

/* A file of the parent is not for the child, which has a file descriptor of the dma-buf, too. */
static void death_ends_it(void **state)
{
	uint64_t base = 0;
	int dmabuf;

	(void)state;
	dmabuf = make(EXPORTER_MEMORY, &base);
	expect(0, in_child(pin_and_die, &dmabuf));
	assert_true(wait_until(is_detached, NULL));
	assert_int_equal(count("buffers"), 1);
	close(dmabuf);
}

/* A domain's pin ends at UNPIN or with the domain. A worker detaches, as locks of VFIO may be held. */
static void domain_holds_it(void **state)
{
	long workers = count("by_workers");
	uint64_t base = 0;
	uint32_t pin;
	int dmabuf;

	(void)state;
	expect(0, flat_declare(alone.flat, EDU));
	dmabuf = make(EXPORTER_MEMORY, &base);
	expect(0, pin_all(dmabuf, FLATIOMMU_PIN_VFIO, &pin));
	assert_int_equal(flat_address_in_pin(alone.flat, EDU, pin, PAGE), base);
	expect(0, flat_unpin(alone.flat, pin));
	assert_true(wait_until(is_detached, NULL));
	assert_int_equal(count("by_workers"), workers + 1);
	expect(0, pin_all(dmabuf, FLATIOMMU_PIN_VFIO, &pin));
	close_fd(&alone.flat);
	assert_int_equal(count("attached"), 1);
	vfio_close(&alone.edu);
	close_fd(&alone.container);
	assert_true(wait_until(is_detached, NULL));
	assert_int_equal(count("by_workers"), workers + 2);
	close(dmabuf);
}

static size_t quiet(void)
{
	struct flatiommu_quiet arg = { .size = sizeof(arg) };

	expect(0, flat_call(alone.flat, FLATIOMMU_QUIET, &arg));
	return arg.out_length;
}

/* The attachment is held, too, and what it takes stays accounted. Of a part of a dma-buf all is held. */
static void is_held(uint32_t flags)
{
	long locked = status_kib("VmLck:");
	uint64_t base = 0;
	uint32_t pin;
	int dmabuf;

	dmabuf = make(EXPORTER_MEMORY, &base);
	expect(0, pin_part(dmabuf, 0, PAGE, flags, &pin));
	close(dmabuf);
	expect(0, flat_unpin(alone.flat, pin));
	assert_int_equal(read_number(MISC "held"), SIZE);
	assert_int_equal(count("attached"), 1);
	assert_int_equal(count("buffers"), 1);
	expect_dma(base, 4);
	assert_int_equal(status_kib("VmLck:"), locked + OVERHEAD / 1024);
	assert_int_equal(quiet(), SIZE);
	assert_true(wait_until(is_gone, NULL));
	assert_int_equal(status_kib("VmLck:"), locked);
	assert_int_equal(read_number(MISC "held"), 0);
}

static void hold_keeps_it(void **state)
{
	char *memory = mem_pages(1);
	long locked = status_kib("VmLck:");
	uint32_t other;

	(void)state;
	assert_non_null(memory);
	expect(0, set("on_unmap", "hold"));
	expect(0, flat_declare(alone.flat, EDU));
	/* The last pin of a function stops it, and would end what is held. */
	expect(0, flat_pin(alone.flat, EDU, memory, PAGE, 0, &other));
	is_held(0);
	is_held(FLATIOMMU_PIN_VFIO);
	expect(0, flat_unpin(alone.flat, other));
	assert_int_equal(quiet(), 0);
	assert_int_equal(status_kib("VmLck:"), locked);
	mem_free(memory, PAGE);
}

/* At the limit VFIO unmaps other memory, with its locks. */
static void limit_ends_it(void **state)
{
	long workers = count("by_workers");
	char *memory = mem_pages(1);
	uint64_t base = 0, bus;
	uint32_t pin;
	int dmabuf;

	(void)state;
	assert_non_null(memory);
	expect(0, set("on_unmap", "hold"));
	expect(0, flat_declare(alone.flat, EDU));
	dmabuf = make(EXPORTER_MEMORY, &base);
	expect(0, vfio_map_at_bus(alone.container, memory, PAGE, &bus));
	expect(0, pin_all(dmabuf, FLATIOMMU_PIN_VFIO, &pin));
	expect(0, flat_unpin(alone.flat, pin));
	assert_int_equal(count("attached"), 1);
	expect(0, set("hold_limit", "4K"));
	expect(0, vfio_unmap(alone.container, bus, PAGE));
	assert_true(wait_until(is_detached, NULL));
	assert_int_equal(count("by_workers"), workers + 1);
	assert_int_equal(read_number(MISC "held"), PAGE);
	assert_int_equal(quiet(), PAGE);
	close(dmabuf);
	mem_free(memory, PAGE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, alone_open, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pages_are_where_they_are),
		TEST(attachments_are_accounted),
		TEST(what_moves_is_pinned),
		TEST(what_is_no_memory),
		TEST(what_is_no_pages),
		TEST(what_is_not_there),
		TEST(has_its_member),
		TEST(readers_let_nobody_write),
		TEST(outlives_its_file),
		TEST(close_ends_it),
		TEST(death_ends_it),
		TEST(domain_holds_it),
		TEST(hold_keeps_it),
		TEST(limit_ends_it),
	};

	return run_group(tests, begin, end);
}
