// SPDX-License-Identifier: MIT
/*
 * One pin for a whole transparent huge page. The module makes it only if it holds all pages. The
 * pages stay at the device's addresses, whatever the program does to the memory afterwards, and the
 * addresses are right, whatever it does during the call. On the kernel's command line: thp_rounds=N
 * of races.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alone.h"
#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "fixture.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define PAGES (HUGE_PAGE / PAGE)
#define MAX_PAGES (MAX_PAGE / 8)
#define DEFAULT_ROUNDS 24
#define COUNTED 4		/* to count pins takes as long as a round */

static const char *const devices[] = { EDU, NULL };

static uint64_t bus[2 * MAX_PAGES];

static char *thp(void)
{
	char *addr = mem_transparent();

	if (!addr)
		skip_for("this kernel gives no transparent huge page");
	return addr;
}

/* Takes the huge page's mapping and, if nothing holds it, the page itself apart. */
static int split(const void *addr)
{
	char text[96];

	snprintf(text, sizeof(text), "%d,%#" PRIxPTR ",%#" PRIxPTR, getpid(), (uintptr_t)addr,
		 (uintptr_t)addr + HUGE_PAGE);
	return write_text("/sys/kernel/debug/split_huge_pages", text);
}

/* Pins, and says what that costs. Where each page is goes to bus[]. */
static uint32_t pin(char *addr, size_t size, uint32_t flags, long cost)
{
	static struct flatiommu_segment segments[2 * MAX_PAGES];
	size_t page = 0;
	uint64_t at;
	uint32_t id;
	int i, n;

	expect(0, flat_pin(alone.flat, EDU, addr, size, flags, &id));
	assert_int_equal(pins(), alone.pins_before + cost);
	n = expect_good(flat_lookup_pin(alone.flat, EDU, id, 0, size, segments, 2 * PAGES));
	for (i = 0; i < n; i++)
		for (at = 0; at < segments[i].length; at += PAGE)
			bus[page++] = segments[i].address + at;
	assert_int_equal(page, size / PAGE);
	return id;
}

static void unpin(uint32_t id)
{
	expect(0, flat_unpin(alone.flat, id));
	assert_int_equal(pins(), alone.pins_before);
	expect(0, vfio_set_bus_master(&alone.edu, true));
}

/* The pages from @first to @last are where the device was told. */
static void expect_there(const char *addr, size_t first, size_t last)
{
	static uint64_t now[MAX_PAGES];
	size_t i;

	expect(0, bus_addresses(addr, now, PAGES));
	for (i = first; i < last; i++)
		if (now[i] != bus[i]) {
			print_message("page %zu is at %#" PRIx64 ", not %#" PRIx64 "\n", i, now[i], bus[i]);
			fail();
		}
}

/* Pages from one that the device writes to, to the next: each write takes it a tenth of a second. */
#define EACH (PAGES / 512)
#define SOME 61

/* The device writes to pages, and the program finds it there. */
static void expect_dma(char *addr, size_t first, size_t last, size_t step)
{
	size_t i;

	fill(addr + first * PAGE, 64, 77);
	expect(0, edu_load(alone.edu.bar0, bus[first], 64));
	for (i = first; i < last; i += step) {
		memset(addr + i * PAGE, 0, 64);
		expect(0, edu_store(alone.edu.bar0, bus[i], 64));
		if (!is_filled(addr + i * PAGE, 64, 77)) {
			print_message("page %zu\n", i);
			fail();
		}
	}
}

static void one_pin(void **state)
{
	char *addr = thp();
	uint32_t id;

	(void)state;
	id = pin(addr, HUGE_PAGE, 0, 1);
	expect_there(addr, 0, PAGES);
	expect_dma(addr, 0, PAGES, EACH);
	unpin(id);
	/* The page can be taken apart again, and khugepaged does not put it together. */
	madvise(addr, HUGE_PAGE, MADV_NOHUGEPAGE);
	expect(0, split(addr));
	id = pin(addr, HUGE_PAGE, 0, PAGES);
	expect_there(addr, 0, PAGES);
	unpin(id);
	munmap(addr, HUGE_PAGE);
}

/* Not all of it, or not to write, or of a file. */
static void pinned_page_by_page(void **state)
{
	char *addr = thp(), *file;
	uint32_t id;
	int fd;

	(void)state;
	unpin(pin(addr + PAGE, HUGE_PAGE - PAGE, 0, PAGES - 1));
	unpin(pin(addr, HUGE_PAGE - PAGE, 0, PAGES - 1));
	unpin(pin(addr, HUGE_PAGE, FLATIOMMU_PIN_READ_ONLY, PAGES));
	/* Cut in the page table alone. */
	mprotect(addr + 5 * PAGE, PAGE, PROT_READ);
	mprotect(addr + 5 * PAGE, PAGE, PROT_READ | PROT_WRITE);
	unpin(pin(addr, HUGE_PAGE, 0, PAGES));
	munmap(addr, HUGE_PAGE);
	/* Of which a part is another page by now. */
	addr = thp();
	madvise(addr + 7 * PAGE, 9 * PAGE, MADV_DONTNEED);
	memset(addr, 1, HUGE_PAGE);
	id = pin(addr, HUGE_PAGE, 0, PAGES);
	expect_there(addr, 0, PAGES);
	unpin(id);
	munmap(addr, HUGE_PAGE);

	fd = (int)syscall(SYS_memfd_create, "thp", 0);
	expect(0, write_text("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "force"));
	expect(0, ftruncate(fd, 4 * (off_t)HUGE_PAGE));
	file = mmap(NULL, 4 * HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	addr = (char *)(((uintptr_t)file + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	memset(addr, 1, HUGE_PAGE);
	unpin(pin(addr, HUGE_PAGE, 0, PAGES));
	write_text("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "never");
	munmap(file, 4 * HUGE_PAGE);
	close(fd);
}

static int write_all(void *arg)
{
	memset(arg, 3, HUGE_PAGE);
	return 0;
}

static void fork_and_pin(void **state)
{
	char *addr = thp();
	pid_t child;
	uint32_t id;

	(void)state;
	/* Before: the entry is shared, so nobody may write by it. */
	child = fork();
	if (!child) {
		pause();
		_exit(0);
	}
	expect(0, flat_pin(alone.flat, EDU, addr, HUGE_PAGE, 0, &id));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	expect(0, flat_unpin(alone.flat, id));
	munmap(addr, HUGE_PAGE);

	/* After: the child gets a copy, and the program keeps what is pinned. */
	addr = thp();
	expect(0, vfio_set_bus_master(&alone.edu, true));
	id = pin(addr, HUGE_PAGE, 0, 1);
	expect(0, in_child(write_all, addr));
	write_all(addr);
	expect_there(addr, 0, PAGES);
	expect_dma(addr, 0, PAGES, SOME);
	unpin(id);
	munmap(addr, HUGE_PAGE);
}

/* What the program does to a part is done to that part; all other pages stay. */
static void parts_go(void **state)
{
	char *addr = thp(), *away;
	uint32_t id = pin(addr, HUGE_PAGE, 0, 1);

	(void)state;
	assert_int_not_equal(madvise(addr + 10 * PAGE, 10 * PAGE, MADV_DONTNEED), -1);
	addr[10 * PAGE] = 1;
	assert_int_not_equal(bus_address(addr + 10 * PAGE), bus[10]);
	expect_there(addr, 0, 10);
	expect_there(addr, 20, PAGES);
	expect_dma(addr, 0, 10, SOME);
	expect_dma(addr, 20, PAGES, SOME);
	/* The device may write to what is gone; it is nobody else's. */
	expect(0, edu_store(alone.edu.bar0, bus[10], 64));
	assert_int_equal(addr[10 * PAGE], 1);
	away = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_equal(mremap(addr + 100 * PAGE, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, away), away);
	assert_int_equal(bus_address(away), bus[100]);
	assert_int_equal(bus_address(away + 7 * PAGE), bus[107]);
	munmap(addr, HUGE_PAGE);
	assert_int_equal(pins(), alone.pins_before + 1);
	unpin(id);
	munmap(away, 8 * PAGE);
}

/* What moves, shares, or takes apart memory that is not pinned. */
static void nothing_moves_it(void **state)
{
	char *addr = thp(), *same = thp();
	uint32_t id;
	int i;

	(void)state;
	memset(addr, 9, HUGE_PAGE);
	memset(same, 9, HUGE_PAGE);
	id = pin(addr, HUGE_PAGE, 0, 1);
	split(addr);
	expect_there(addr, 0, PAGES);
	madvise(addr, HUGE_PAGE, MADV_PAGEOUT);
	memset(addr, 9, HUGE_PAGE);
	expect_there(addr, 0, PAGES);
	madvise(addr, HUGE_PAGE, MADV_COLLAPSE);
	memset(addr, 9, HUGE_PAGE);
	expect_there(addr, 0, PAGES);
	write_text("/proc/sys/vm/compact_memory", "1");
	expect_there(addr, 0, PAGES);
	if (!write_text("/sys/kernel/mm/ksm/pages_to_scan", "100000") &&
	    !write_text("/sys/kernel/mm/ksm/run", "1")) {
		madvise(addr, HUGE_PAGE, MADV_MERGEABLE);
		madvise(same, HUGE_PAGE, MADV_MERGEABLE);
		for (i = 0; i < 20; i++)
			usleep(50000);
		expect_there(addr, 0, PAGES);
		write_text("/sys/kernel/mm/ksm/run", "2");
		write_text("/sys/kernel/mm/ksm/pages_to_scan", "100");
		write_text("/sys/kernel/mm/ksm/run", "0");
	}
	memset(addr, 9, HUGE_PAGE);
	expect_there(addr, 0, PAGES);
	expect_dma(addr, 0, PAGES, SOME);
	unpin(id);
	munmap(addr, HUGE_PAGE);
	munmap(same, HUGE_PAGE);
}

/* A program that watches its own writes: the pin is such a write to all pages that it gets. */
static void write_protected(void **state)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	char *addr = thp();
	struct uffdio_register reg = {
		.range = { (uintptr_t)addr, HUGE_PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect protect = {
		.range = { (uintptr_t)addr, HUGE_PAGE },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	uint32_t id;

	(void)state;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg)) {
		munmap(addr, HUGE_PAGE);
		skip_for("this kernel has no write protection by userfaultfd");
	}
	expect(0, ioctl(fd, UFFDIO_WRITEPROTECT, &protect));
	protect.range.len = HUGE_PAGE;
	protect.mode = 0;
	expect(0, ioctl(fd, UFFDIO_WRITEPROTECT, &protect));
	/* It may be in one piece again or not; what is told is right. */
	expect(0, flat_pin(alone.flat, EDU, addr, HUGE_PAGE, 0, &id));
	assert_int_equal(flat_address_in_pin(alone.flat, EDU, id, 77 * PAGE), bus_address(addr + 77 * PAGE));
	unpin(id);
	close(fd);
	munmap(addr, HUGE_PAGE);
}

/* One thread does something to the memory while another one pins it. */
enum { SPLIT, PROTECT, PAGEOUT, FORK, COLLAPSE, ZAP, MOVE, NOTHING, KINDS };

static struct race {
	atomic_uint round, done;
	unsigned int kind;
	size_t first, last;	/* the pages that ZAP and MOVE take away */
	char *addr, *away;
	bool stop;
} race;

static void do_one(void)
{
	char *part = race.addr + race.first * PAGE;
	size_t size = (race.last - race.first) * PAGE;
	pid_t child;

	switch (race.kind) {
	case SPLIT:
		split(race.addr);
		break;
	case PROTECT:
		mprotect(part, size, PROT_READ);
		mprotect(part, size, PROT_READ | PROT_WRITE);
		break;
	case PAGEOUT:
		madvise(race.addr, HUGE_PAGE, MADV_PAGEOUT);
		break;
	case FORK:
		child = fork();
		if (!child)
			_exit(0);
		if (child > 0)
			waitpid(child, NULL, 0);
		break;
	case COLLAPSE:
		madvise(race.addr, HUGE_PAGE, MADV_COLLAPSE);
		break;
	case ZAP:
		madvise(part, size, MADV_DONTNEED);
		memset(part, 1, size);
		break;
	case MOVE:
		mremap(part, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, race.away);
		/* The hole would make a pin fail, which is right, too. */
		mmap(part, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	}
}

static void *racer(void *arg)
{
	unsigned int round = 0;

	(void)arg;
	for (;;) {
		while (atomic_load(&race.round) == round)
			sched_yield();
		round = atomic_load(&race.round);
		if (race.stop)
			return NULL;
		do_one();
		atomic_store(&race.done, round);
	}
}

static unsigned long rounds(void)
{
	char text[4096], *found;

	if (read_text("/proc/cmdline", text, sizeof(text)) < 0)
		return DEFAULT_ROUNDS;
	found = strstr(text, "thp_rounds=");
	return found ? strtoul(found + strlen("thp_rounds="), NULL, 0) : DEFAULT_ROUNDS;
}

static void races(void **state)
{
	static struct flatiommu_segment segments[MAX_PAGES];
	unsigned long n = rounds(), i, whole = 0, apart = 0, failed = 0;
	char *addr = NULL;
	pthread_t thread;
	uint64_t at;

	(void)state;
	race.away = mmap(NULL, HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(pthread_create(&thread, NULL, racer, NULL), 0);
	srand(1);
	/* Who is first is up to the processors: it goes on until each has been. */
	for (i = 1; i <= n || (!(whole && apart) && i <= 20 * n); i++) {
		size_t page = 0;
		uint32_t id;
		int ret, s;

		if (!addr)
			addr = thp();
		memset(addr, 1, HUGE_PAGE);
		race.addr = addr;
		race.kind = (unsigned int)rand() % KINDS;
		race.first = (size_t)rand() % PAGES;
		race.last = race.first + 1 + (size_t)rand() % (PAGES - race.first);
		atomic_store(&race.round, (unsigned int)i);
		ret = flat_pin(alone.flat, EDU, addr, HUGE_PAGE, 0, &id);
		while (atomic_load(&race.done) != (unsigned int)i)
			sched_yield();
		if (ret) {
			/* MOVE leaves a hole for a moment, PROTECT memory that cannot be written. */
			assert_true(race.kind == MOVE || race.kind == PROTECT);
			expect(-EFAULT, ret);
			failed++;
		} else {
			memset(addr, 2, HUGE_PAGE);
			ret = expect_good(flat_lookup_pin(alone.flat, EDU, id, 0, HUGE_PAGE, segments, PAGES));
			for (s = 0; s < ret; s++)
				for (at = 0; at < segments[s].length; at += PAGE)
					bus[page++] = segments[s].address + at;
			assert_int_equal(page, PAGES);
			if (race.kind == ZAP || race.kind == MOVE) {
				expect_there(addr, 0, race.first);
				expect_there(addr, race.last, PAGES);
			} else {
				expect_there(addr, 0, PAGES);
			}
			if (i % COUNTED || pins() == alone.pins_before + 1)
				whole += !(i % COUNTED);
			else
				apart++;
			expect(0, flat_unpin(alone.flat, id));
			if (!(i % COUNTED))
				assert_int_equal(pins(), alone.pins_before);
		}
		/* Begin with a whole one now and then. */
		if (race.kind != NOTHING && race.kind != FORK) {
			munmap(addr, HUGE_PAGE);
			addr = NULL;
		}
	}
	race.stop = true;
	atomic_store(&race.round, (unsigned int)i);
	pthread_join(thread, NULL);
	print_message("%lu whole, %lu page by page, %lu failed\n", whole, apart, failed);
	assert_true(whole && apart);
	if (addr)
		munmap(addr, HUGE_PAGE);
	munmap(race.away, HUGE_PAGE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, alone_open, alone_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_pin),
		TEST(pinned_page_by_page),
		TEST(fork_and_pin),
		TEST(parts_go),
		TEST(nothing_moves_it),
		TEST(write_protected),
		TEST(races),
	};

	return run_with(devices, tests);
}
