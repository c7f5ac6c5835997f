// SPDX-License-Identifier: MIT
/* Memory that is pinned through /dev/flatiommu, and the functions that it is pinned for. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alone.h"
#include "caps.h"
#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "fixture.h"
#include "kmsg.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define CLEARED "bus mastering is cleared"
#define NR_HUGE 2

static const char *const devices[] = { EDU, FN1, NULL };

/* The page's address, by the pin, is where the program finds what the device writes. */
static void expect_dma(uint32_t pin, char *addr, uint64_t offset)
{
	uint64_t bus = flat_address_in_pin(alone.flat, EDU, pin, offset);
	char *at = addr + offset;

	assert_int_equal(bus, bus_address(at));
	fill(at, 1024, (uint32_t)offset);
	expect(0, edu_load(alone.edu.bar0, bus, 1024));
	memset(at, 0, 1024);
	expect(0, edu_store(alone.edu.bar0, bus, 1024));
	assert_true(is_filled(at, 1024, (uint32_t)offset));
}

static void pin_works(char *addr, size_t size, long cost)
{
	const size_t count = size / PAGE;
	struct flatiommu_segment *segments = calloc(count, sizeof(*segments));
	uint64_t *bus = calloc(count, sizeof(*bus)), at;
	long locked = status_kib("VmLck:");
	size_t page = 0;
	uint32_t pin;
	int i, n;

	assert_non_null(addr);
	expect(0, flat_pin(alone.flat, EDU, addr, size, 0, &pin));
	assert_int_equal(pins(), alone.pins_before + cost);
	assert_int_equal(status_kib("VmLck:"), locked + (long)size / 1024);
	expect(0, bus_addresses(addr, bus, count));
	n = expect_good(flat_lookup_pin(alone.flat, EDU, pin, 0, size, segments, (unsigned int)count));
	for (i = 0; i < n; i++) {
		if (i)
			assert_int_not_equal(segments[i].address,
					     segments[i - 1].address + segments[i - 1].length);
		for (at = 0; at < segments[i].length; at += PAGE)
			if (segments[i].address + at != bus[page++])
				fail();
	}
	assert_int_equal(page, count);
	expect_dma(pin, addr, 0);
	expect_dma(pin, addr, size / 2);
	expect_dma(pin, addr, size - PAGE);
	expect(0, flat_unpin(alone.flat, pin));
	assert_int_equal(pins(), alone.pins_before);
	assert_int_equal(status_kib("VmLck:"), locked);
	expect(0, vfio_set_bus_master(&alone.edu, true));
	mem_free(addr, size);
	free(segments);
	free(bus);
}

static void each_kind_of_memory(void **state)
{
	char *page;

	(void)state;
	pin_works(mem_scattered(64), 64 * PAGE, 64);
	pin_works(mem_pages(1500), 1500 * PAGE, 1500);
	pin_works(mem_shared(64), 64 * PAGE, 64);
	pin_works(mem_file_scattered(1200), 1200 * PAGE, 1200);
	page = mem_transparent();
	if (page)
		pin_works(page, HUGE_PAGE, 1);
	expect(0, huge_pages(NR_HUGE));
	pin_works(mem_huge(), HUGE_PAGE, 1);
	assert_true(mem_has_giant());
	pin_works(mem_giant(), GIANT_PAGE, 1);
}

/* Ordinary pages, a huge page and ordinary pages again, from inside a page to inside a page. */
static void mixed_memory(void **state)
{
	struct flatiommu_segment segments[16];
	uint64_t got = 0;
	size_t length;
	uint32_t pin;
	char *space, *addr;
	int i, n;

	(void)state;
	expect(0, huge_pages(1));
	space = mem_pages(4 * HUGE_PAGE / PAGE);
	assert_non_null(space);
	addr = (char *)(((uintptr_t)space + 2 * HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	assert_ptr_equal(mmap(addr, HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED |
			      MAP_ANONYMOUS | MAP_HUGETLB, -1, 0), addr);
	addr[0] = 1;
	addr -= 3 * PAGE - 100;
	length = 2 * PAGE + PAGE - 100 + HUGE_PAGE + 4 * PAGE + 5;
	expect(0, flat_pin(alone.flat, EDU, addr, length, 0, &pin));
	assert_int_equal(pins(), alone.pins_before + 3 + 1 + 5);
	n = expect_good(flat_lookup_pin(alone.flat, EDU, pin, 0, length, segments, 16));
	for (i = 0; i < n; i++) {
		assert_int_equal(segments[i].address, bus_address(addr + got));
		got += segments[i].length;
		assert_int_equal(segments[i].address + segments[i].length - 1,
				 bus_address(addr + got - 1));
	}
	assert_int_equal(got, length);
	/* From inside the huge page to its end. */
	n = expect_good(flat_lookup_pin(alone.flat, EDU, pin, 3 * PAGE + HUGE_PAGE / 2,
					HUGE_PAGE / 2 - 100, segments, 16));
	assert_int_equal(segments[n - 1].address + segments[n - 1].length,
			 bus_address(addr + 3 * PAGE - 100 + HUGE_PAGE - 1) + 1);
	expect(0, flat_unpin(alone.flat, pin));
	assert_int_equal(pins(), alone.pins_before);

	/* A part of the huge page, and the same again. */
	for (i = 0; i < 2; i++)
		expect(0, flat_pin(alone.flat, EDU, addr + 4 * PAGE, 10 * PAGE, 0, &pin));
	assert_int_equal(pins(), alone.pins_before + 2);
	close_fd(&alone.flat);
	assert_int_equal(pins(), alone.pins_before);
	mem_free(space, 4 * HUGE_PAGE);
}

/* What the program writes after the pin is what the device reads. */
static void read_only_sees_later_writes(void *addr, size_t size, int protect)
{
	char *to = mem_pages(1), *from = addr;
	uint32_t pin, pin_to;

	assert_non_null(to);
	if (protect)
		assert_int_equal(mprotect(from, size, PROT_READ), 0);
	expect(0, flat_pin(alone.flat, EDU, from, size, FLATIOMMU_PIN_READ_ONLY, &pin));
	expect(0, flat_pin(alone.flat, EDU, to, PAGE, 0, &pin_to));
	if (protect)
		assert_int_equal(mprotect(from, size, PROT_READ | PROT_WRITE), 0);
	fill(from, EDU_COPY, 9);
	expect(0, edu_load(alone.edu.bar0, flat_address_in_pin(alone.flat, EDU, pin, 0), EDU_COPY));
	expect(0, edu_store(alone.edu.bar0, flat_address_in_pin(alone.flat, EDU, pin_to, 0), EDU_COPY));
	assert_true(is_filled(to, EDU_COPY, 9));
	expect(0, flat_unpin(alone.flat, pin));
	expect(0, flat_unpin(alone.flat, pin_to));
	expect(0, vfio_set_bus_master(&alone.edu, true));
	assert_int_equal(pins(), alone.pins_before);
	mem_free(to, PAGE);
	munmap(from, size);
}

static void *untouched(size_t size, int flags)
{
	void *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

	assert_ptr_not_equal(addr, MAP_FAILED);
	return addr;
}

static void read_only(void **state)
{
	volatile char *page;

	(void)state;
	read_only_sees_later_writes(untouched(4 * PAGE, MAP_PRIVATE), 4 * PAGE, 0);
	read_only_sees_later_writes(untouched(4 * PAGE, MAP_PRIVATE), 4 * PAGE, 1);
	read_only_sees_later_writes(untouched(4 * PAGE, MAP_SHARED), 4 * PAGE, 0);
	read_only_sees_later_writes(untouched(4 * PAGE, MAP_SHARED), 4 * PAGE, 1);
	page = untouched(4 * PAGE, MAP_PRIVATE);
	assert_int_equal(page[0], 0);
	read_only_sees_later_writes((void *)page, 4 * PAGE, 0);
	expect(0, huge_pages(NR_HUGE));
	read_only_sees_later_writes(untouched(HUGE_PAGE, MAP_PRIVATE | MAP_HUGETLB), HUGE_PAGE, 0);
}

static void memory_that_cannot_be_pinned(void **state)
{
	char *page = mem_pages(3);
	uint32_t pin;

	(void)state;
	assert_non_null(page);
	expect(-EFAULT, flat_pin(alone.flat, EDU, NULL, PAGE, 0, &pin));
	expect(-EFAULT, flat_pin(alone.flat, EDU, (void *)(1ull << 63), PAGE, 0, &pin));
	expect(-EFAULT, flat_pin(alone.flat, EDU, page, 1ull << 46, 0, &pin));
	expect(-EFAULT, flat_pin(alone.flat, EDU, page, 1ull << 62, 0, &pin));
	expect(-EINVAL, flat_pin(alone.flat, EDU, page, 0, 0, &pin));
	expect(-EINVAL, flat_pin(alone.flat, EDU, page, ~0ull, 0, &pin));
	expect(-EINVAL, flat_pin(alone.flat, EDU, (void *)(~0ull - 10), 100, 0, &pin));
	/* The last page, a page in the middle. */
	munmap(page + 2 * PAGE, PAGE);
	expect(-EFAULT, flat_pin(alone.flat, EDU, page, 3 * PAGE, 0, &pin));
	mprotect(page + PAGE, PAGE, PROT_NONE);
	expect(-EFAULT, flat_pin(alone.flat, EDU, page, 2 * PAGE, 0, &pin));
	expect(-EFAULT, flat_pin(alone.flat, EDU, page, 2 * PAGE, FLATIOMMU_PIN_READ_ONLY, &pin));
	mprotect(page + PAGE, PAGE, PROT_READ);
	expect(-EFAULT, flat_pin(alone.flat, EDU, page, 2 * PAGE, 0, &pin));
	expect(0, flat_pin(alone.flat, EDU, page, 2 * PAGE, FLATIOMMU_PIN_READ_ONLY, &pin));
	expect(0, flat_unpin(alone.flat, pin));
	/* A BAR. */
	expect(-EFAULT, flat_pin(alone.flat, EDU, alone.edu.bar0, PAGE, 0, &pin));
	assert_int_equal(pins(), alone.pins_before);
	assert_int_equal(status_kib("VmLck:"), 0);
	mem_free(page, 2 * PAGE);
}

#define DISK "/tmp/disk"

/* Of a file system that tracks changes; from 6.5 on the kernel does not pin it to be written. */
static void memory_of_a_file(void **state)
{
	int fd, writable = kernel_is(6, 5) ? -EFAULT : 0;
	uint32_t pin;
	char *addr;

	(void)state;
	assert_int_equal(system("mkdir -p " DISK " && mke2fs -q -F /dev/nvme0n1 && "
				"mount -t ext4 /dev/nvme0n1 " DISK), 0);
	fd = expect_good(open(DISK "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	addr = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(addr, MAP_FAILED);
	expect(writable, flat_pin(alone.flat, EDU, addr, 4 * PAGE, 0, &pin));
	if (!writable)
		expect(0, flat_unpin(alone.flat, pin));
	assert_int_equal(pins(), alone.pins_before);
	munmap(addr, 4 * PAGE);

	/* A private map of it has pages of its own. */
	addr = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(addr, MAP_FAILED);
	expect(0, flat_pin(alone.flat, EDU, addr, 4 * PAGE, 0, &pin));
	assert_int_equal(flat_address_in_pin(alone.flat, EDU, pin, PAGE), bus_address(addr + PAGE));
	expect(0, flat_unpin(alone.flat, pin));
	munmap(addr, 4 * PAGE);
	close(fd);
	assert_int_equal(system("umount " DISK), 0);
	assert_int_equal(pins(), alone.pins_before);
}

static void numbers(void **state)
{
	char *page = mem_pages(1);
	struct flatiommu_segment segment;
	uint32_t pin, other;
	int flat2;

	(void)state;
	assert_non_null(page);
	expect(-ENOENT, flat_unpin(alone.flat, 0));
	expect(-ENOENT, flat_unpin(alone.flat, 1));
	expect(-ENOENT, flat_unpin(alone.flat, ~0u));
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &pin));
	assert_int_not_equal(pin, 0);
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &other));
	assert_int_not_equal(pin, other);
	flat2 = expect_good(flat_open());
	expect(-ENOENT, flat_unpin(flat2, pin));
	expect(-ENOENT, flat_lookup_pin(flat2, EDU, pin, 0, 1, &segment, 1));
	/* It is not for this function. */
	expect(-ENODEV, flat_lookup_pin(alone.flat, FN1, pin, 0, 1, &segment, 1));
	expect(-ENOENT, flat_lookup_pin(alone.flat, EDU, pin, PAGE, 1, &segment, 1));
	expect(1, flat_lookup_pin(alone.flat, EDU, pin, PAGE - 1, 1, &segment, 1));
	expect(0, flat_unpin(alone.flat, pin));
	expect(-ENOENT, flat_unpin(alone.flat, pin));
	expect(-ENOENT, flat_lookup_pin(alone.flat, EDU, pin, 0, 1, &segment, 1));
	close_fd(&flat2);
	close_fd(&alone.flat);
	assert_int_equal(pins(), alone.pins_before);
	mem_free(page, PAGE);
}

/* Eight pages may be locked, and are; for a function that no other program has. */
static int pin_within_limit(void *arg)
{
	const struct rlimit limit = { 8 * PAGE, 8 * PAGE };
	char *page = arg;
	int own = flat_open(), ret;
	uint32_t pin, none;

	setrlimit(RLIMIT_MEMLOCK, &limit);
	ret = drop_capability(CAP_IPC_LOCK);
	if (ret)
		return ret;
	if (flat_pin(own, FN1, page, 9 * PAGE, 0, &pin) != -ENOMEM)
		return -E2BIG;
	/* Ten pages have a byte in it. */
	if (flat_pin(own, FN1, page + PAGE - 1, 7 * PAGE + 2, 0, &pin) != -ENOMEM)
		return -EDOM;
	ret = flat_pin(own, FN1, page, 8 * PAGE, 0, &pin);
	if (ret)
		return ret;
	if (flat_pin(own, FN1, page, 1, 0, &none) != -ENOMEM)
		return -ENFILE;
	ret = flat_unpin(own, pin);
	if (ret)
		return -EBADF;
	return status_kib("VmLck:") == 0 ? 0 : -ENOTEMPTY;
}

static void memlock_is_accounted(void **state)
{
	char *page = mem_pages(10);

	(void)state;
	assert_non_null(page);
	expect(0, in_child(pin_within_limit, page));
	assert_int_equal(pins(), alone.pins_before);
	mem_free(page, 10 * PAGE);
}

/* In the second function the program sees that it is stopped only when nothing else is pinned for it. */
static void unpin_stops_the_function(void **state)
{
	char *page = mem_pages(2);
	uint32_t pin[2];

	(void)state;
	assert_non_null(page);
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &pin[0]));
	expect(0, flat_pin(alone.flat, EDU, page + PAGE, PAGE, 0, &pin[1]));
	expect(0, log_mark());
	expect(0, flat_unpin(alone.flat, pin[0]));
	expect(1, vfio_bus_master(&alone.edu));
	assert_int_equal(log_count(CLEARED), 0);
	expect(0, flat_unpin(alone.flat, pin[1]));
	expect(0, vfio_bus_master(&alone.edu));
	assert_int_equal(log_count(EDU ": " CLEARED), 1);

	/* Stopped by the program itself, there is nothing to say. */
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &pin[0]));
	expect(0, log_mark());
	expect(0, flat_unpin(alone.flat, pin[0]));
	assert_int_equal(log_count(CLEARED), 0);

	/* A pin of somebody else's holds it, too. */
	expect(0, vfio_set_bus_master(&alone.edu, true));
	{
		int flat2 = expect_good(flat_open());

		expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &pin[0]));
		expect(0, flat_pin(flat2, EDU, page, PAGE, 0, &pin[1]));
		expect(0, flat_unpin(alone.flat, pin[0]));
		expect(1, vfio_bus_master(&alone.edu));
		/* But not when it is closed with memory in use. */
		expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &pin[0]));
		close_fd(&flat2);
		expect(0, vfio_bus_master(&alone.edu));
	}
	/* A pin that fails stops nobody. */
	expect(0, flat_unpin(alone.flat, pin[0]));
	expect(0, vfio_set_bus_master(&alone.edu, true));
	expect(-EFAULT, flat_pin(alone.flat, EDU, NULL, PAGE, 0, &pin[0]));
	expect(1, vfio_bus_master(&alone.edu));
	mem_free(page, 2 * PAGE);
}

static int joins(void *arg)
{
	struct flatiommu_segment segment;
	int own = flat_open();
	uint32_t pin;

	if (flat_pin(own, EDU, arg, PAGE, 0, &pin) != -EPERM)
		return -EPERM;
	if (flat_pin(own, EDU, arg, PAGE, FLATIOMMU_PIN_NO_STOP, &pin))
		return -EIO;
	return flat_lookup_pin(own, EDU, pin, 0, PAGE, &segment, 1) == 1 ? 0 : -ENOENT;
}

/* Neither its end by UNPIN nor that of the program that joined another one. */
static void no_stop_stops_nobody(void **state)
{
	char *page = mem_shared(2);
	uint32_t pin[2];
	int own;

	(void)state;
	assert_non_null(page);
	expect(0, log_mark());
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, FLATIOMMU_PIN_NO_STOP, &pin[0]));
	expect(0, flat_unpin(alone.flat, pin[0]));
	expect(1, vfio_bus_master(&alone.edu));
	expect(0, in_child(joins, page));
	assert_int_equal(pins(), alone.pins_before);
	expect(1, vfio_bus_master(&alone.edu));
	assert_int_equal(log_count(CLEARED), 0);
	/* One that stops counts alone, and one in the same file stops before all of it is let go. */
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &pin[0]));
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, FLATIOMMU_PIN_NO_STOP, &pin[1]));
	expect(0, flat_unpin(alone.flat, pin[0]));
	expect(0, vfio_bus_master(&alone.edu));
	expect(0, vfio_set_bus_master(&alone.edu, true));
	own = expect_good(flat_open());
	expect(0, flat_pin(own, EDU, page + PAGE, PAGE, FLATIOMMU_PIN_NO_STOP, &pin[0]));
	expect(0, flat_pin(own, EDU, page, PAGE, 0, &pin[0]));
	close_fd(&own);
	expect(0, vfio_bus_master(&alone.edu));
	assert_int_equal(log_count(EDU ": " CLEARED), 2);
	expect(0, flat_unpin(alone.flat, pin[1]));
	mem_free(page, 2 * PAGE);
}

/* A kernel driver has it, whose bus mastering is not ours. */
static void kernel_driver_is_left_alone(void **state)
{
	char *page = mem_pages(1), path[64], command[2];
	uint32_t pin;
	int fd;

	(void)state;
	assert_non_null(page);
	assert_string_equal(pci_driver(NVME), "nvme");
	assert_int_equal(flat_state(alone.flat, NVME), FLATIOMMU_STATE_BUS_ADDRESSES);
	expect(0, flat_pin(alone.flat, NVME, page, PAGE, 0, &pin));
	close_fd(&alone.flat);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", NVME);
	fd = open(path, O_RDONLY);
	assert_int_equal(pread(fd, command, 2, PCI_COMMAND), 2);
	assert_int_not_equal(command[0] & PCI_COMMAND_MASTER, 0);
	close(fd);
	mem_free(page, PAGE);
}

/* What a child does with edu, before it is killed. */
struct child {
	int tell[2];
	int (*prepare)(void);
};

static char *shared;

static int hold(void *arg)
{
	struct child *c = arg;
	uint32_t pin;
	int ret = c->prepare();

	if (!ret)
		ret = alone.flat < 0 ? alone.flat : flat_pin(alone.flat, EDU, shared, PAGE, 0, &pin);
	if (ret)
		return ret;
	if (write(c->tell[1], "", 1) != 1)
		return -errno;
	for (;;)
		pause();
}

/* @meanwhile is told of the child that has it, or is NULL. */
static void kill_holder(int (*prepare)(void), void (*meanwhile)(pid_t child))
{
	struct child c = { .prepare = prepare };
	pid_t pid;
	char byte;

	assert_int_equal(pipe(c.tell), 0);
	pid = expect_good(child_begin(hold, &c));
	close(c.tell[1]);
	assert_int_equal(read(c.tell[0], &byte, 1), 1);
	close(c.tell[0]);
	assert_int_equal(pins(), alone.pins_before + 1);
	if (meanwhile)
		meanwhile(pid);
	expect(0, log_mark());
	kill(pid, SIGKILL);
	expect(-EINTR, child_end(pid));
}

static bool pins_are_back(void *arg)
{
	(void)arg;
	return pins() == alone.pins_before;
}

/* /dev/flatiommu is the last file opened, so that it is the first one to be closed. */
static int flat_comes_last(void)
{
	if (vfio_open_alone(&alone.edu, &alone.container, EDU))
		return -EIO;
	alone.flat = flat_open();
	return 0;
}

static void death_stops_the_function(void **state)
{
	alone_close(state);
	shared = mem_shared(1);
	kill_holder(flat_comes_last, NULL);
	assert_true(wait_until(pins_are_back, NULL));
	assert_int_equal(log_count(EDU ": " CLEARED), 1);
	mem_free(shared, PAGE);
}

static struct vfio_dev *theirs;

static int say_what_it_has(void)
{
	int ret = flat_comes_last();

	*theirs = alone.edu;
	return ret;
}

/* The device's file is ours, too, so that it is not closed by the death of the child. */
static void take_device(pid_t child)
{
	int process = (int)syscall(SYS_pidfd_open, child, 0);

	expect_good(process);
	alone.edu = (struct vfio_dev)VFIO_DEV_INIT;
	alone.edu.fd = expect_good((int)syscall(SYS_pidfd_getfd, process, theirs->fd, 0));
	expect(0, vfio_use_device(&alone.edu));
	close(process);
	expect(0, edu_load(alone.edu.bar0, bus_address(shared), EDU_COPY));
}

static void death_of_one_of_two(void **state)
{
	uint64_t bus;

	alone_close(state);
	theirs = mem_shared(1);
	shared = mem_shared(1);
	fill(shared, EDU_COPY, 3);
	bus = bus_address(shared);
	kill_holder(say_what_it_has, take_device);
	assert_true(wait_until(pins_are_back, NULL));
	assert_int_equal(log_count(EDU ": " CLEARED), 1);
	expect(0, vfio_bus_master(&alone.edu));
	memset(shared, 0, PAGE);
	expect(0, edu_store(alone.edu.bar0, bus, EDU_COPY));
	assert_false(is_filled(shared, EDU_COPY, 3));
	mem_free(shared, PAGE);
	mem_free(theirs, PAGE);
}

/* A program on uio, which has no group and no claim. */
static int uio = -1, config = -1;

static int open_uio(void)
{
	char path[256], node[300];
	uint16_t command;

	if (find_path("/sys/bus/pci/devices/" EDU "/uio/uio*", path, sizeof(path)))
		return -ENOENT;
	snprintf(node, sizeof(node), "/dev/%s", last_part(path));
	uio = open(node, O_RDWR | O_CLOEXEC);
	if (uio < 0 || pread(config, &command, 2, PCI_COMMAND) != 2)
		return -EIO;
	command |= PCI_COMMAND_MASTER;
	if (pwrite(config, &command, 2, PCI_COMMAND) != 2)
		return -EIO;
	alone.flat = flat_open();
	return 0;
}

static void uio_and_a_pin(void **state)
{
	uint16_t command;

	alone_close(state);
	expect(0, pci_give_back(EDU));
	expect(0, module_probe("uio_pci_generic"));
	expect(0, pci_bind(EDU, "uio_pci_generic"));
	config = expect_good(open("/sys/bus/pci/devices/" EDU "/config", O_RDWR | O_CLOEXEC));
	/* Ours, which keeps uio_pci_generic from stopping the device when the child dies. */
	expect(0, open_uio());
	assert_int_equal(flat_state(alone.flat, EDU), FLATIOMMU_STATE_BUS_ADDRESSES);
	close_fd(&alone.flat);
	shared = mem_shared(1);
	kill_holder(open_uio, NULL);
	assert_true(wait_until(pins_are_back, NULL));
	assert_int_equal(log_count(EDU ": " CLEARED), 1);
	assert_int_equal(pread(config, &command, 2, PCI_COMMAND), 2);
	assert_int_equal(command & PCI_COMMAND_MASTER, 0);
	close_fd(&config);
	close_fd(&uio);
	mem_free(shared, PAGE);
	expect(0, pci_unbind(EDU));
	expect(0, pci_take(EDU));
}

static int set_master(void)
{
	uint16_t command;

	if (pread(config, &command, 2, PCI_COMMAND) != 2)
		return -EIO;
	command |= PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY;
	if (pwrite(config, &command, 2, PCI_COMMAND) != 2)
		return -EIO;
	alone.flat = flat_open();
	return 0;
}

static bool is_master(void)
{
	uint16_t command;

	assert_int_equal(pread(config, &command, 2, PCI_COMMAND), 2);
	return command & PCI_COMMAND_MASTER;
}

/* A program that has the device by its files in sysfs alone, as some do. */
/* Not on x86, the kernel finds out how a function sees memory when a driver binds. */
#ifdef __x86_64__
#define PINS_WITHOUT_DRIVER true
#else
#define PINS_WITHOUT_DRIVER false
#endif

static void need_no_driver(void)
{
	if (!PINS_WITHOUT_DRIVER)
		skip_for("on this architecture a pin needs a driver");
}

static void refuse_without_driver(void)
{
	int flat = expect_good(flat_open());
	char *page = mem_pages(1);
	uint32_t pin;

	expect(-EBUSY, flat_pin(flat, EDU, page, PAGE, 0, &pin));
	mem_free(page, PAGE);
	close_fd(&flat);
	expect(0, pci_bind(EDU, "vfio-pci"));
}

static void no_driver_and_a_pin(void **state)
{
	alone_close(state);
	expect(0, pci_unbind(EDU));
	if (!PINS_WITHOUT_DRIVER) {
		refuse_without_driver();
		return;
	}
	config = expect_good(open("/sys/bus/pci/devices/" EDU "/config", O_RDWR | O_CLOEXEC));
	shared = mem_shared(1);
	kill_holder(set_master, NULL);
	assert_true(wait_until(pins_are_back, NULL));
	assert_int_equal(log_count(EDU ": " CLEARED), 1);
	assert_false(is_master());
	close_fd(&config);
	mem_free(shared, PAGE);
	expect(0, pci_bind(EDU, "vfio-pci"));
}

#define POWER "/sys/bus/pci/devices/" EDU "/power/"

static bool is_asleep(void *arg)
{
	char text[16];

	(void)arg;
	return read_text(POWER "runtime_status", text, sizeof(text)) > 0 && !strcmp(text, "suspended");
}

/* Without a driver a function may be asleep for the kernel, and do DMA all the same. It is woken up to be stopped. */
static void asleep_and_a_pin(void **state)
{
	char *page = mem_pages(1);
	uint32_t pin;
	int flat2;

	if (access(POWER "control", W_OK))
		skip_for("this kernel puts no function to sleep");
	need_no_driver();
	alone_close(state);
	assert_non_null(page);
	expect(0, pci_unbind(EDU));
	config = expect_good(open("/sys/bus/pci/devices/" EDU "/config", O_RDWR | O_CLOEXEC));
	expect(0, set_master());
	flat2 = alone.flat;
	expect(0, flat_pin(flat2, EDU, page, PAGE, 0, &pin));
	expect(0, write_text(POWER "control", "auto"));
	assert_true(wait_until(is_asleep, NULL));
	expect(0, flat_unpin(flat2, pin));
	assert_false(is_master());
	expect(0, write_text(POWER "control", "on"));
	close_fd(&flat2);
	close_fd(&config);
	mem_free(page, PAGE);
	expect(0, pci_bind(EDU, "vfio-pci"));
}

#define TRACING "/sys/kernel/tracing/"
#define WAIT "pci_wait_for_pending_transaction"

/* What is on its way is waited for. QEMU's devices have nothing on theirs, so it is the kernel's function that counts. */
static void waits_for_what_is_pending(void **state)
{
	char *page = mem_pages(1), text[4096] = "";
	uint32_t pin;

	(void)state;
	assert_non_null(page);
	if (access(TRACING "kprobe_events", W_OK))
		skip_for("this kernel has no probes");
	expect(0, write_text(TRACING "kprobe_events", "p:flat_wait " WAIT));
	expect(0, write_text(TRACING "events/kprobes/flat_wait/enable", "1"));
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &pin));
	expect(0, write_text(TRACING "trace", "\n"));
	expect(0, flat_unpin(alone.flat, pin));
	expect(0, write_text(TRACING "events/kprobes/flat_wait/enable", "0"));
	read_text(TRACING "trace", text, sizeof(text));
	expect(0, write_text(TRACING "kprobe_events", "-:flat_wait"));
	assert_non_null(strstr(text, WAIT));
	mem_free(page, PAGE);
}

/* PG_dirty, Documentation/admin-guide/mm/pagemap.rst; 0, 1 or -errno. */
static int is_dirty(char *page)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t flags;

	if (fd < 0 || pread(fd, &flags, 8, (off_t)(bus_address(page) / PAGE * 8)) != 8)
		return -EIO;
	close(fd);
	return flags >> 4 & 1;
}

/* The kernel does not see what a device writes: it is told at the end of the pin, or might not save it. */
static void memory_is_dirty_afterwards(void **state)
{
	char *pages = mem_pages(2), *huge = mem_transparent();
	uint32_t pin;

	(void)state;
	assert_non_null(pages);
	if (access("/proc/kpageflags", R_OK))
		skip_for("this kernel does not tell what is dirty");
	expect(0, is_dirty(pages));
	expect(0, flat_pin(alone.flat, EDU, pages, PAGE, 0, &pin));
	expect(0, flat_unpin(alone.flat, pin));
	expect(1, is_dirty(pages));
	expect(0, flat_pin(alone.flat, EDU, pages + PAGE, PAGE, FLATIOMMU_PIN_READ_ONLY, &pin));
	expect(0, flat_unpin(alone.flat, pin));
	expect(0, is_dirty(pages + PAGE));
	mem_free(pages, 2 * PAGE);
	if (!huge)
		return;
	/* By one pin. */
	expect(0, is_dirty(huge));
	expect(0, flat_pin(alone.flat, EDU, huge, HUGE_PAGE, 0, &pin));
	expect(0, flat_unpin(alone.flat, pin));
	expect(1, is_dirty(huge));
	mem_free(huge, HUGE_PAGE);
}

/*
 * The function goes: it is stopped before it leaves the bus, the memory stays pinned, and not for the one that
 * comes to its place.
 */
static void function_is_removed(void **state)
{
	char *page = mem_pages(1);
	uint32_t pin, again;
	int flat2;

	need_no_driver();
	alone_close(state);
	assert_non_null(page);
	expect(0, pci_give_back(EDU));
	config = expect_good(open("/sys/bus/pci/devices/" EDU "/config", O_RDWR | O_CLOEXEC));
	expect(0, set_master());
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &pin));
	close_fd(&config);
	expect(0, log_mark());
	expect(0, write_text("/sys/bus/pci/devices/" EDU "/remove", "1"));
	assert_int_equal(log_count(EDU ": " CLEARED), 1);
	expect(-ENODEV, flat_lookup_pin(alone.flat, EDU, pin, 0, PAGE, &(struct flatiommu_segment){ 0 }, 1));
	expect(-ENODEV, flat_pin(alone.flat, EDU, page, PAGE, 0, &again));
	expect(-ENODEV, flat_state(alone.flat, EDU));
	assert_int_equal(pins(), alone.pins_before + 1);

	expect(0, write_text("/sys/bus/pci/rescan", "1"));
	config = expect_good(open("/sys/bus/pci/devices/" EDU "/config", O_RDWR | O_CLOEXEC));
	assert_false(is_master());
	expect(-ENODEV, flat_lookup_pin(alone.flat, EDU, pin, 0, PAGE, &(struct flatiommu_segment){ 0 }, 1));
	/* The new one may be pinned for, and the old pin is nothing to it. */
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &again));
	assert_int_equal(flat_address_in_pin(alone.flat, EDU, again, 0), bus_address(page));
	flat2 = alone.flat;
	expect(0, set_master());
	expect(0, flat_unpin(flat2, pin));
	assert_true(is_master());
	expect(0, flat_unpin(flat2, again));
	assert_false(is_master());
	close_fd(&flat2);
	assert_int_equal(pins(), alone.pins_before);
	close_fd(&config);
	mem_free(page, PAGE);
	expect(0, pci_take(EDU));
}

/* The file is closed with a pin for a function that was there before. */
static void another_function_is_not_stopped(void **state)
{
	char *page = mem_pages(1);
	uint32_t pin;
	int flat2;

	need_no_driver();
	alone_close(state);
	assert_non_null(page);
	expect(0, pci_give_back(EDU));
	flat2 = expect_good(flat_open());
	expect(0, flat_pin(flat2, EDU, page, PAGE, 0, &pin));
	expect(0, write_text("/sys/bus/pci/devices/" EDU "/remove", "1"));
	expect(0, write_text("/sys/bus/pci/rescan", "1"));
	config = expect_good(open("/sys/bus/pci/devices/" EDU "/config", O_RDWR | O_CLOEXEC));
	expect(0, set_master());
	close_fd(&flat2);
	assert_true(is_master());
	assert_int_equal(pins(), alone.pins_before);
	close_fd(&config);
	mem_free(page, PAGE);
	expect(0, pci_take(EDU));
}

static int unbind(void *arg)
{
	(void)arg;
	/* Else it would wait for itself. */
	vfio_close(&alone.edu);
	return pci_unbind(EDU);
}

static bool is_busy(void *page)
{
	uint32_t pin;
	int ret = flat_pin(alone.flat, EDU, page, PAGE, 0, &pin);

	if (!ret)
		expect(0, flat_unpin(alone.flat, pin));
	return ret == -EBUSY;
}

/* Somebody unbinds it, and waits with the device's lock for this program. */
static void function_is_busy(void **state)
{
	char *page = mem_pages(1);
	pid_t child;

	(void)state;
	assert_non_null(page);
	child = expect_good(child_begin(unbind, NULL));
	assert_true(wait_until(is_busy, page));
	assert_int_equal(pins(), alone.pins_before);
	vfio_close(&alone.edu);
	expect(0, child_end(child));
	assert_int_equal(is_busy(page), !PINS_WITHOUT_DRIVER);
	mem_free(page, PAGE);
	expect(0, pci_bind(EDU, "vfio-pci"));
}

static bool is_waited_for(void *arg)
{
	(void)arg;
	return log_count("No device request channel registered, blocked until released by user") > 0;
}

/* The same, and the memory goes before the function: it is stopped all the same. */
static void unpin_while_busy(void **state)
{
	char *page = mem_pages(1);
	uint32_t pin;
	pid_t child;

	(void)state;
	assert_non_null(page);
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &pin));
	expect(0, vfio_set_bus_master(&alone.edu, true));
	expect(0, log_mark());
	child = expect_good(child_begin(unbind, NULL));
	assert_true(wait_until(is_waited_for, NULL));
	expect(0, flat_unpin(alone.flat, pin));
	assert_int_equal(log_count(EDU ": " CLEARED), 1);
	expect(0, vfio_bus_master(&alone.edu));
	vfio_close(&alone.edu);
	expect(0, child_end(child));
	mem_free(page, PAGE);
	expect(0, pci_bind(EDU, "vfio-pci"));
}

static void bridges_are_refused(void **state)
{
	char *page = mem_pages(1);
	uint32_t pin;

	(void)state;
	assert_non_null(page);
	expect(-EOPNOTSUPP, flat_pin(alone.flat, BRIDGE, page, PAGE, 0, &pin));
	/* Those that have the header of an endpoint: the host's, and on a PC the one to what was ISA. */
	expect(-EOPNOTSUPP, flat_pin(alone.flat, "0000:00:00.0", page, PAGE, 0, &pin));
#ifdef __x86_64__
	expect(-EOPNOTSUPP, flat_pin(alone.flat, "0000:00:1f.0", page, PAGE, 0, &pin));
#endif
	mem_free(page, PAGE);
}

#define BIG (4ull << 30)
#define FILE_SIZE (BIG / 8)

/* 4 GiB that are one file, eight times; none of it is there before it is pinned. */
static int pin_big(void *arg)
{
	volatile char *done = arg;
	int i, fd = memfd_create("big", MFD_CLOEXEC), own = flat_open();
	char *addr = mmap(NULL, BIG, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t pin;

	if (addr == MAP_FAILED || fd < 0 || ftruncate(fd, FILE_SIZE))
		return -errno;
	for (i = 0; i < 8; i++)
		if (mmap(addr + i * FILE_SIZE, FILE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
			return -errno;
	i = flat_pin(own, FN1, addr, BIG, 0, &pin);
	*done = 1;
	return i;
}

static void signal_in_the_middle(void **state)
{
	volatile char *done = mem_shared(1);
	pid_t pid;

	(void)state;
	assert_non_null((char *)done);
	pid = expect_good(child_begin(pin_big, (char *)done));
	while (pins() < alone.pins_before + 2000)
		assert_int_equal(*done, 0);
	kill(pid, SIGKILL);
	expect(-EINTR, child_end(pid));
	assert_int_equal(*done, 0);
	assert_true(wait_until(pins_are_back, NULL));
	mem_free((char *)done, PAGE);
}

static int use_another_ones(void *arg)
{
	const uint32_t pin = *(uint32_t *)arg;
	char *page = mem_pages(1);
	uint32_t own;

	/* Nor with a file of its own, for what another program has. */
	if (flat_pin(flat_open(), EDU, page, PAGE, 0, &own) != -EPERM)
		return -EISDIR;
	if (!page || flat_pin(alone.flat, FN1, page, PAGE, 0, &own) != -EPERM)
		return -EEXIST;
	if (flat_lookup_pin(alone.flat, EDU, pin, 0, PAGE, &(struct flatiommu_segment){ 0 }, 1) != -EPERM)
		return -ENOTTY;
	if (flat_unpin(alone.flat, pin) != -EPERM)
		return -EBADF;
	return 0;
}

/* Who has been given the file can neither pin nor stop what another program drives, nor learn where its memory is. */
static void nobody_inherits_it(void **state)
{
	char *page = mem_pages(1);
	uint32_t pin;

	(void)state;
	assert_non_null(page);
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, 0, &pin));
	expect(0, in_child(use_another_ones, &pin));
	expect(1, vfio_bus_master(&alone.edu));
	assert_int_equal(pins(), alone.pins_before + 1);
	expect(0, flat_unpin(alone.flat, pin));
	mem_free(page, PAGE);
}

static int pin_unprivileged(void *arg)
{
	char *page = mem_pages(2);
	int own = flat_open(), ret;
	uint32_t first, second;

	(void)arg;
	ret = flat_pin(own, FN1, page, PAGE, 0, &first);
	if (!ret)
		ret = drop_capability(CAP_SYS_RAWIO);
	if (ret)
		return ret;
	if (flat_pin(own, FN1, page + PAGE, PAGE, 0, &second) != -EPERM)
		return -EEXIST;
	/* What it has it may use, and let go. */
	if (flat_address_in_pin(own, FN1, first, 0) == 0)
		return -EIO;
	return flat_unpin(own, first);
}

static void capability_is_asked_each_time(void **state)
{
	(void)state;
	expect(0, in_child(pin_unprivileged, NULL));
	assert_int_equal(pins(), alone.pins_before);
}

/* A program that pins and dies, and whose file somebody else has. */
static int leave_a_pin(void *arg)
{
	int *go_on = arg, own = flat_open();
	char *page = mem_pages(4), c;
	uint32_t pin;
	int ret;

	ret = flat_pin(own, FN1, page, 4 * PAGE, 0, &pin);
	if (ret)
		return ret;
	close(go_on[1]);
	ret = fork();
	if (ret)
		return ret < 0 ? -errno : 0;
	_exit(read(go_on[0], &c, 1) != 0);
}

static void file_outlives_its_opener(void **state)
{
	int go_on[2];

	(void)state;
	expect(0, pipe2(go_on, O_CLOEXEC));
	expect(0, in_child(leave_a_pin, go_on));
	assert_int_equal(pins(), alone.pins_before + 4);
	close(go_on[1]);
	assert_true(wait_until(pins_are_back, NULL));
	close(go_on[0]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, alone_open, alone_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_kind_of_memory),
		TEST(mixed_memory),
		TEST(read_only),
		TEST(memory_that_cannot_be_pinned),
		TEST(memory_of_a_file),
		TEST(numbers),
		TEST(memlock_is_accounted),
		TEST(unpin_stops_the_function),
		TEST(no_stop_stops_nobody),
		TEST(kernel_driver_is_left_alone),
		TEST(death_stops_the_function),
		TEST(death_of_one_of_two),
		TEST(uio_and_a_pin),
		TEST(no_driver_and_a_pin),
		TEST(asleep_and_a_pin),
		TEST(waits_for_what_is_pending),
		TEST(memory_is_dirty_afterwards),
		TEST(function_is_removed),
		TEST(another_function_is_not_stopped),
		TEST(function_is_busy),
		TEST(unpin_while_busy),
		TEST(bridges_are_refused),
		TEST(signal_in_the_middle),
		TEST(nobody_inherits_it),
		TEST(capability_is_asked_each_time),
		TEST(file_outlives_its_opener),
	};

	return run_with(devices, tests);
}
