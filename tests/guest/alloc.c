// SPDX-License-Identifier: MIT
/* FLATIOMMU_ALLOC: memory that a function reaches, as a file, from the call to its end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
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
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define CLEARED "bus mastering is cleared"
#define CONTIGUOUS FLATIOMMU_ALLOC_CONTIGUOUS
#define NOWHERE FLATIOMMU_LOOKUP_FIRST
#define MIB ((size_t)1 << 20)

/* The second one has no program: not on x86, a pin needs a driver. */
static const char *const devices[] = { EDU, FN1, NULL };

static size_t pages_of(size_t length)
{
	return (length + PAGE - 1) / PAGE;
}

static void *map(int fd, size_t length)
{
	void *addr = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return addr == MAP_FAILED ? NULL : addr;
}

/* Memory for edu, mapped: its file descriptor is closed, or goes to @fd. */
static char *get(size_t length, unsigned int bits, int node, uint32_t flags, int *fd)
{
	int file = expect_good(flat_alloc(alone.flat, EDU, length, bits, node, flags));
	char *addr = map(file, pages_of(length) * PAGE);

	assert_non_null(addr);
	if (fd)
		*fd = file;
	else
		close(file);
	return addr;
}

static void put(char *addr, size_t length)
{
	munmap(addr, pages_of(length) * PAGE);
}

/* All zero, and below the limit, page by page. By pagemap, which knows nothing of the module. */
static void expect_within(const char *addr, size_t length, unsigned int bits)
{
	static const char zeros[MAX_PAGE];
	size_t n = pages_of(length), i;
	uint64_t *bus = calloc(n, sizeof(*bus));

	for (i = 0; i < n; i++)
		assert_memory_equal(addr + i * PAGE, zeros, PAGE);
	expect(0, bus_addresses(addr, bus, n));
	for (i = 0; i < n; i++) {
		assert_int_not_equal(bus[i], 0);
		if (bits < 64)
			assert_true(bus[i] + PAGE - 1 < 1ull << bits);
	}
	free(bus);
}

/* Its addresses by a pin of it are where it is, and the function reads and writes there. */
static void expect_reach(char *addr, size_t length)
{
	uint64_t bus;
	uint32_t pin;

	expect(0, flat_pin(alone.flat, EDU, addr, length, 0, &pin));
	bus = flat_address_in_pin(alone.flat, EDU, pin, 0);
	assert_int_equal(bus, bus_address(addr));
	fill(addr, EDU_COPY, 7);
	expect(0, edu_load(alone.edu.bar0, bus, EDU_COPY));
	memset(addr, 0, EDU_COPY);
	expect(0, edu_store(alone.edu.bar0, bus, EDU_COPY));
	assert_true(is_filled(addr, EDU_COPY, 7));
	expect(0, flat_unpin(alone.flat, pin));
	expect(0, vfio_set_bus_master(&alone.edu, true));
}

static void within_address_bits(void **state)
{
#ifdef __x86_64__
	static const unsigned int bits[] = { 64, 40, 32, 31, 28, 26, 24 };
#else
	static const unsigned int bits[] = { 64, 40, 32, 31 };
#endif
	const size_t lengths[] = { 1, PAGE, 16 * PAGE, 3 * MIB + PAGE };
	size_t b, l, size;
	char *addr;

	(void)state;
	for (b = 0; b < ARRAY_SIZE(bits); b++) {
		for (l = 0; l < ARRAY_SIZE(lengths); l++) {
			size = lengths[l];
			addr = get(size, bits[b], -1, 0, NULL);
			expect_within(addr, size, bits[b]);
			expect_reach(addr, pages_of(size) * PAGE);
			put(addr, size);
		}
	}
	/* More than a zone of that width has: below 2^24 there are 16 MiB at most, the kernel's own among them. */
	expect(-ERANGE, flat_alloc(alone.flat, EDU, 16 * MIB, 24, -1, 0));
	expect(-ERANGE, flat_alloc(alone.flat, EDU, PAGE, 12, -1, 0));
	addr = get(40 * MIB, LOW_BITS, -1, 0, NULL);
	expect_within(addr, 40 * MIB, LOW_BITS);
	put(addr, 40 * MIB);
}

static void in_one_piece(void **state)
{
	static const unsigned int bits[] = { 64, 32, LOW_BITS };
	const size_t lengths[] = { PAGE, 3 * PAGE, 16 * PAGE, 2 * MIB, 3 * MIB, 4 * MIB, 12 * MIB };
	size_t b, l, size, align;
	uint64_t bus;
	char *addr;

	(void)state;
	for (b = 0; b < ARRAY_SIZE(bits); b++) {
		for (l = 0; l < ARRAY_SIZE(lengths); l++) {
			size = lengths[l];
			if (bits[b] == LOW_BITS && size > 4 * MIB)
				continue;
			addr = get(size, bits[b], -1, CONTIGUOUS, NULL);
			expect_within(addr, size, bits[b]);
			assert_int_equal(mem_runs(addr, size / PAGE), 1);
			bus = bus_address(addr);
			for (align = PAGE; align < size; align *= 2)
				;
			assert_int_equal(bus % align, 0);
			put(addr, size);
		}
	}
	/* There is no such piece: the kernel has some of it. */
	expect(-ERANGE, flat_alloc(alone.flat, EDU, 1ull << LOW_BITS, LOW_BITS, -1, CONTIGUOUS));
}

/* Where a page is. */
static int node_of(void *page)
{
	int status = -ENOENT;

	return syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0) ? -errno : status;
}

static void on_a_node(void **state)
{
	int node;
	char *addr;

	(void)state;
	expect(-EINVAL, flat_alloc(alone.flat, EDU, PAGE, 64, 7, 0));
	expect(-EINVAL, flat_alloc(alone.flat, EDU, PAGE, 64, -2, 0));
	expect(-EINVAL, flat_alloc(alone.flat, EDU, PAGE, 64, 1 << 20, 0));
	expect(-EINVAL, flat_alloc(alone.flat, EDU, PAGE, 64, -1, FLATIOMMU_ALLOC_THIS_NODE));
	if (access("/sys/devices/system/node/node1", F_OK))
		skip_for("this machine has one NUMA node");
	for (node = 0; node < 2; node++) {
		addr = get(MIB, 64, node, FLATIOMMU_ALLOC_THIS_NODE, NULL);
		memset(addr, 1, MIB);
		assert_int_equal(node_of(addr), node);
		assert_int_equal(node_of(addr + MIB - PAGE), node);
		put(addr, MIB);
		addr = get(12 * MIB, 64, node, FLATIOMMU_ALLOC_THIS_NODE | CONTIGUOUS, NULL);
		addr[0] = 1;
		assert_int_equal(node_of(addr), node);
		put(addr, 12 * MIB);
		/* A wish that cannot be met is none. */
		addr = get(PAGE, 32, node, 0, NULL);
		expect_within(addr, PAGE, 32);
		assert_int_equal(node_of(addr), 0);
		put(addr, PAGE);
	}
	/* All that is low is on the first node. */
	expect(-ERANGE, flat_alloc(alone.flat, EDU, PAGE, 32, 1, FLATIOMMU_ALLOC_THIS_NODE));
	expect(-ERANGE, flat_alloc(alone.flat, EDU, PAGE, LOW_BITS, 1, FLATIOMMU_ALLOC_THIS_NODE));
}

static void wrong_arguments(void **state)
{
	(void)state;
	expect(-EINVAL, flat_alloc(alone.flat, EDU, 0, 64, -1, 0));
	expect(-EINVAL, flat_alloc(alone.flat, EDU, PAGE, 11, -1, 0));
	expect(-EINVAL, flat_alloc(alone.flat, EDU, PAGE, 65, -1, 0));
	expect(-EINVAL, flat_alloc(alone.flat, EDU, PAGE, ~0u, -1, 0));
	expect(-ENOMEM, flat_alloc(alone.flat, EDU, ~0ull, 64, -1, 0));
	expect(-ENOMEM, flat_alloc(alone.flat, EDU, 1ull << 46, 32, -1, 0));
	expect(-ENODEV, flat_alloc(alone.flat, "0000:7f:1f.7", PAGE, 64, -1, 0));
	expect(-EOPNOTSUPP, flat_alloc(alone.flat, BRIDGE, PAGE, 64, -1, 0));
	expect(-EOPNOTSUPP, flat_alloc(alone.flat, EDU, PAGE, 64, -1, 4));
}

static int id_of(int fd, uint64_t *length, uint64_t *id)
{
	struct flatiommu_buffer arg = { .size = sizeof(arg) };
	int ret = flat_call(fd, FLATIOMMU_BUFFER, &arg);

	*length = arg.out_length;
	*id = arg.out_id;
	return ret;
}

static void what_the_file_says(void **state)
{
	int file = expect_good(flat_alloc(alone.flat, EDU, 3 * PAGE + 1, 64, -1, 0));
	int other = expect_good(flat_alloc(alone.flat, EDU, PAGE, 64, -1, 0));
	int memory = memfd_create("other", MFD_CLOEXEC);
	struct flatiommu_buffer arg = { .size = sizeof(arg), .flags = 1 };
	uint64_t length, id, again;

	(void)state;
	assert_int_equal(fcntl(file, F_GETFD), FD_CLOEXEC);
	expect(0, id_of(file, &length, &id));
	assert_int_equal(length, 4 * PAGE);
	expect(0, id_of(file, &length, &again));
	assert_int_equal(id, again);
	expect(0, id_of(other, &length, &again));
	assert_int_equal(length, PAGE);
	assert_int_not_equal(id, again);
	expect(-ENOTTY, id_of(memory, &length, &id));
	expect(-ENOTTY, id_of(alone.flat, &length, &id));
	expect(-EOPNOTSUPP, flat_call(file, FLATIOMMU_BUFFER, &arg));
	arg = (struct flatiommu_buffer){ .size = sizeof(arg) - 1 };
	expect(-EINVAL, flat_call(file, FLATIOMMU_BUFFER, &arg));
	arg.size = 8192;
	expect(-E2BIG, flat_call(file, FLATIOMMU_BUFFER, &arg));
	expect(-EFAULT, flat_call(file, FLATIOMMU_BUFFER, NULL));
	arg.size = sizeof(arg);
	expect(-ENOTTY, flat_call(file, FLATIOMMU_ALLOC, &arg));
	close(file);
	close(other);
	close(memory);
}

static void mapping(void **state)
{
	const size_t size = 4 * PAGE;
	char *addr, *other;
	long before;
	int fd;

	(void)state;
	addr = get(size, LOW_BITS, -1, 0, &fd);
	fill(addr, size, 1);
	/* The same memory at each place, also when the kernel was told that it is not needed. */
	other = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, (off_t)PAGE);
	assert_ptr_not_equal(other, MAP_FAILED);
	assert_memory_equal(other, addr + PAGE, 2 * PAGE);
	assert_int_equal(bus_address(other), bus_address(addr + PAGE));
	assert_int_equal(madvise(addr, size, MADV_DONTNEED), 0);
	assert_true(is_filled(addr, size, 1));
	munmap(other, 2 * PAGE);
	/* A private map would get other memory as it is written to. */
	assert_ptr_equal(mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(mmap(NULL, size + PAGE, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)size), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, (off_t)(size - PAGE)), MAP_FAILED);
	/* A part of it, which goes on by itself. */
	close(fd);
	munmap(addr, 2 * PAGE);
	expect_reach(addr + 2 * PAGE, 2 * PAGE);
	assert_ptr_equal(mremap(addr + 2 * PAGE, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE), MAP_FAILED);
	/* Nor does it count once more where all is locked. */
	before = status_kib("VmLck:");
	assert_int_equal(mlock(addr + 2 * PAGE, 2 * PAGE), 0);
	assert_int_equal(status_kib("VmLck:"), before);
	munmap(addr + 2 * PAGE, 2 * PAGE);
}

/* Eight pages may be locked; what is allocated counts, and counts once more as it is pinned. */
static int alloc_within_limit(void *arg)
{
	const struct rlimit limit = { 8 * PAGE, 8 * PAGE };
	const long page = (long)PAGE / 1024;
	int own = flat_open(), fd, ret;
	uint32_t pin;
	char *addr;

	(void)arg;
	setrlimit(RLIMIT_MEMLOCK, &limit);
	ret = drop_capability(CAP_IPC_LOCK);
	if (ret)
		return ret;
	if (flat_alloc(own, FN1, 8 * PAGE + 1, 32, -1, 0) != -ENOMEM)
		return -E2BIG;
	if (flat_alloc(own, FN1, 8 * PAGE + 1, 64, -1, CONTIGUOUS) != -ENOMEM)
		return -EDOM;
	fd = flat_alloc(own, FN1, 5 * PAGE, 32, -1, 0);
	if (fd < 0)
		return fd;
	if (status_kib("VmLck:") != 5 * page)
		return -EBADMSG;
	addr = map(fd, 5 * PAGE);
	if (!addr || flat_pin(own, FN1, addr, 4 * PAGE, 0, &pin) != -ENOMEM)
		return -ENFILE;
	if (flat_pin(own, FN1, addr, 3 * PAGE, 0, &pin))
		return -EIO;
	/* The map has it, without a file descriptor. */
	close(fd);
	if (status_kib("VmLck:") != 8 * page || flat_unpin(own, pin) ||
	    status_kib("VmLck:") != 5 * page)
		return -EMLINK;
	munmap(addr, 5 * PAGE);
	return status_kib("VmLck:") ? -ENOTEMPTY : 0;
}

static void memlock_is_accounted(void **state)
{
	(void)state;
	expect(0, in_child(alloc_within_limit, NULL));
	assert_int_equal(pins(), alone.pins_before);
}

#define CGROUP "/tmp/alloc-cgroup"

/* The kernel keeps what it has charged for a while longer, and in larger pieces. */
static int charge(unsigned int bits, uint32_t flags)
{
	long before = read_number(CGROUP "/few/memory.current"), after;
	int own = flat_open(), fd, other;

	/* Not over its limit, by whatever way memory is found. */
	fd = flat_alloc(own, FN1, 48 * MIB, bits, -1, flags);
	if (fd >= 0)
		return -EFBIG;
	if (fd != -ERANGE && fd != -ENOMEM)
		return fd;
	fd = flat_alloc(own, FN1, 8 * MIB, bits, -1, flags);
	if (fd < 0)
		return fd;
	after = read_number(CGROUP "/few/memory.current");
	if (after - before < 7 * (long)MIB)
		return -EUCLEAN;
	other = flat_alloc(own, FN1, 8 * MIB, bits, -1, flags);
	if (other < 0)
		return other;
	close(fd);
	close(other);
	close(own);
	return read_number(CGROUP "/few/memory.current") - before < 4 * (long)MIB ? 0 : -ENOTEMPTY;
}

static int alloc_in_cgroup(void *arg)
{
	int ret = write_text(CGROUP "/few/cgroup.procs", "0");

	(void)arg;
	/* From a zone, and by moving other memory: the allocator has 4 MiB in one piece at most. */
	if (!ret)
		ret = charge(64, 0);
	if (!ret)
		ret = charge(32, 0);
	if (!ret)
		ret = charge(32, CONTIGUOUS);
	return ret;
}

static void memory_cgroup_is_charged(void **state)
{
	bool mounted;

	(void)state;
	mkdir(CGROUP, 0700);
	mounted = !mount("cgroup2", CGROUP, "cgroup2", 0, NULL);
	if (!mounted || write_text(CGROUP "/cgroup.subtree_control", "+memory") || mkdir(CGROUP "/few", 0700)) {
		if (mounted)
			umount(CGROUP);
		rmdir(CGROUP);
		skip_for("no memory cgroups are to be had");
	}
	expect(0, write_text(CGROUP "/few/memory.max", "32M"));
	expect(0, in_child(alloc_in_cgroup, NULL));
	rmdir(CGROUP "/few");
	write_text(CGROUP "/cgroup.subtree_control", "-memory");
	assert_int_equal(umount(CGROUP), 0);
	rmdir(CGROUP);
}

/* For a function that no program has: nothing but the capability is missing. */
static int alloc_without_rawio(void *arg)
{
	int own = flat_open(), ret = flat_alloc(own, FN1, PAGE, 64, -1, 0);

	(void)arg;
	if (ret < 0)
		return -EIO;
	ret = drop_capability(CAP_SYS_RAWIO);
	return ret ? ret : flat_alloc(own, FN1, PAGE, 64, -1, 0);
}

/* A child has the file descriptor, and not the address space that opened it. */
static int alloc_by_the_parents(void *arg)
{
	(void)arg;
	return flat_alloc(alone.flat, FN1, PAGE, 64, -1, 0);
}

/* Edu is the parent's, who has it through VFIO. */
static int alloc_for_anothers(void *arg)
{
	(void)arg;
	return flat_alloc(flat_open(), EDU, PAGE, 64, -1, 0);
}

/* Whoever was passed the file has the memory, and nothing else. */
static int use_as_nobody(void *arg)
{
	uint64_t length, id;
	int fd = *(int *)arg, ret = become_nobody();
	char *addr;

	if (ret || id_of(fd, &length, &id))
		return -EIO;
	addr = map(fd, length);
	if (!addr || !is_filled(addr, PAGE, 5))
		return -EBADMSG;
	fill(addr, PAGE, 6);
	return 0;
}

static void who_may(void **state)
{
	char *addr;
	int fd;

	(void)state;
	expect(-EPERM, in_child(alloc_without_rawio, NULL));
	expect(-EPERM, in_child(alloc_by_the_parents, NULL));
	expect(-EPERM, in_child(alloc_for_anothers, NULL));
	addr = get(PAGE, 32, -1, 0, &fd);
	fill(addr, PAGE, 5);
	expect(0, in_child(use_as_nobody, &fd));
	assert_true(is_filled(addr, PAGE, 6));
	close(fd);
	put(addr, PAGE);
}

#define NR_LATER 64

/*
 * Is the page at this bus address nobody else's? By taking memory of that kind, and writing to it, and by what the
 * function finds there.
 */
static void expect_kept(uint64_t bus, uint32_t seed)
{
	char *later[NR_LATER], *to = mem_pages(1);
	uint32_t pin;
	size_t i;

	assert_non_null(to);
	for (i = 0; i < NR_LATER; i++) {
		later[i] = get(PAGE, LOW_BITS, -1, 0, NULL);
		memset(later[i], 0x55, PAGE);
		assert_int_not_equal(bus_address(later[i]), bus);
	}
	expect(0, flat_pin(alone.flat, EDU, to, PAGE, 0, &pin));
	expect(0, edu_load(alone.edu.bar0, bus, EDU_COPY));
	expect(0, edu_store(alone.edu.bar0, flat_address_in_pin(alone.flat, EDU, pin, 0), EDU_COPY));
	assert_true(is_filled(to, EDU_COPY, seed));
	expect(0, flat_unpin(alone.flat, pin));
	expect(0, vfio_set_bus_master(&alone.edu, true));
	for (i = 0; i < NR_LATER; i++)
		put(later[i], PAGE);
	mem_free(to, PAGE);
}

/* Through VFIO: the end of the memory's file is nothing to the function. */
static void vfio_keeps_it(void **state)
{
	uint64_t bus;
	char *addr;

	(void)state;
	expect(0, flat_declare(alone.flat, EDU));
	addr = get(4 * PAGE, LOW_BITS, -1, 0, NULL);
	fill(addr, PAGE, 11);
	bus = bus_address(addr);
	expect(0, vfio_map(alone.container, addr, NOWHERE, 4 * PAGE));
	assert_int_equal(flat_address(alone.flat, EDU, NOWHERE), bus);
	assert_int_equal(pins(), alone.pins_before + 4);
	expect(0, log_mark());
	put(addr, 4 * PAGE);
	expect(1, vfio_bus_master(&alone.edu));
	assert_int_equal(log_count(CLEARED), 0);
	assert_int_equal(flat_address(alone.flat, EDU, NOWHERE), bus);
	expect_kept(bus, 11);
	expect(0, vfio_unmap(alone.container, NOWHERE, 4 * PAGE));
	assert_int_equal(pins(), alone.pins_before);

	/* At its bus address, without a declaration. */
	addr = get(PAGE, 32, -1, 0, NULL);
	addr[0] = 1;
	expect(0, vfio_map(alone.container, addr, bus_address(addr), PAGE));
	bus = bus_address(addr);
	put(addr, PAGE);
	expect(1, vfio_bus_master(&alone.edu));
	expect(0, vfio_unmap(alone.container, bus, PAGE));
}

/* Through PIN: it is let go with the pin, and the function is stopped before. */
static void a_pin_keeps_it(void **state)
{
	uint32_t pin;
	uint64_t bus;
	char *addr;

	(void)state;
	addr = get(2 * PAGE, LOW_BITS, -1, 0, NULL);
	fill(addr, PAGE, 12);
	bus = bus_address(addr);
	expect(0, flat_pin(alone.flat, EDU, addr, 2 * PAGE, 0, &pin));
	expect(0, log_mark());
	put(addr, 2 * PAGE);
	expect(1, vfio_bus_master(&alone.edu));
	assert_int_equal(flat_address_in_pin(alone.flat, EDU, pin, 0), bus);
	expect_kept(bus, 12);
	assert_int_equal(log_count(CLEARED), 0);
	expect(0, flat_unpin(alone.flat, pin));
	expect(0, vfio_bus_master(&alone.edu));
	assert_int_equal(log_count(EDU ": " CLEARED), 1);
	assert_int_equal(pins(), alone.pins_before);
}

/* Memory that nobody has told the function of: its end is nothing to it. */
static void stops_nobody(void **state)
{
	char *addr = get(MIB, 32, -1, 0, NULL);

	(void)state;
	expect(0, log_mark());
	addr[0] = 1;
	put(addr, MIB);
	close_fd(&alone.flat);
	expect(1, vfio_bus_master(&alone.edu));
	assert_int_equal(log_count(CLEARED), 0);
}

/* Free memory, with what the processors have at hand for themselves. */
static long free_kib(void)
{
	char line[256];
	FILE *file;
	long value, sum = 0;

	write_text("/proc/sys/vm/stat_refresh", "1");
	file = fopen("/proc/zoneinfo", "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, " pages free %ld", &value) == 1 || sscanf(line, " count: %ld", &value) == 1)
			sum += value * (long)(PAGE / 1024);
	if (file)
		fclose(file);
	return sum;
}

#define NR_BUFFERS 16

struct held {
	int tell[2];
};

static int hold(void *arg)
{
	static const unsigned int bits[] = { 64, 32, LOW_BITS };
	struct held *h = arg;
	int i, ret = vfio_open_alone(&alone.edu, &alone.container, EDU);
	char *addr;
	uint32_t pin;

	alone.flat = flat_open();
	if (!ret)
		ret = flat_declare(alone.flat, EDU);
	for (i = 0; i < NR_BUFFERS && !ret; i++) {
		int fd = flat_alloc(alone.flat, EDU, 2 * MIB, bits[i % 3], -1, i % 2 ? CONTIGUOUS : 0);

		if (fd < 0)
			return fd;
		addr = map(fd, 2 * MIB);
		if (!addr)
			return -ENOMEM;
		/* Some have just the file, some the map alone, some are pinned, and some mapped. */
		if (i % 4 == 1)
			close(fd);
		if (i % 4 == 2)
			ret = flat_pin(alone.flat, EDU, addr, 2 * MIB, 0, &pin);
		if (i % 4 == 3)
			ret = vfio_map(alone.container, addr, NOWHERE + (uint64_t)i * 4 * MIB, 2 * MIB);
		if (i % 8 == 0)
			munmap(addr, 2 * MIB);
	}
	if (ret)
		return ret;
	if (write(h->tell[1], "", 1) != 1)
		return -errno;
	for (;;)
		pause();
}

static bool pins_are_back(void *arg)
{
	(void)arg;
	return pins() == alone.pins_before;
}

static bool memory_is_back(void *arg)
{
	/* What other processes of the machine do is some of it. */
	return free_kib() > *(long *)arg - 8 * 1024;
}

static void death_leaves_nothing(void **state)
{
	long before;
	int round;

	alone_close(state);
	before = free_kib();
	for (round = 0; round < 4; round++) {
		struct held h;
		pid_t pid;
		char byte;

		assert_int_equal(pipe(h.tell), 0);
		pid = expect_good(child_begin(hold, &h));
		close(h.tell[1]);
		assert_int_equal(read(h.tell[0], &byte, 1), 1);
		close(h.tell[0]);
		assert_true(pins() >= alone.pins_before + 2 * 4 * (long)(2 * MIB / PAGE));
		assert_true(free_kib() < before - 24 * 1024);
		expect(0, log_mark());
		kill(pid, SIGKILL);
		expect(-EINTR, child_end(pid));
		assert_true(wait_until(pins_are_back, NULL));
		if (!wait_until(memory_is_back, &before))
			print_error("%ld KiB are free, before %ld\n", free_kib(), before);
		assert_true(memory_is_back(&before));
		/* As files are closed in any order, once or not at all. */
		assert_true(log_count(EDU ": " CLEARED) <= 1);
	}
}

int main(void)
{
#define ALONE_TEST(fn) cmocka_unit_test_setup_teardown(fn, alone_open, alone_close)
	const struct CMUnitTest tests[] = {
		ALONE_TEST(within_address_bits),
		ALONE_TEST(in_one_piece),
		ALONE_TEST(on_a_node),
		ALONE_TEST(wrong_arguments),
		ALONE_TEST(what_the_file_says),
		ALONE_TEST(mapping),
		ALONE_TEST(memlock_is_accounted),
		ALONE_TEST(memory_cgroup_is_charged),
		ALONE_TEST(who_may),
		ALONE_TEST(vfio_keeps_it),
		ALONE_TEST(a_pin_keeps_it),
		ALONE_TEST(stops_nobody),
		ALONE_TEST(death_leaves_nothing),
	};

	return run_with(devices, tests);
}
