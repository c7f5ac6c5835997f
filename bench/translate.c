// SPDX-License-Identifier: MIT
/*
 * The cost of getting the bus addresses of memory that stays in its place: by FLATIOMMU_PIN and
 * LOOKUP, and by other ways that programs use. The ways take turns on the same memory, RUNS times.
 * The memory is present before, except that of the kinds "fresh": the kernel allocates and clears
 * it in each run. Microseconds.
 *
 *	pin		PIN with all segments
 *	pin+lookup	PIN, and LOOKUP of all segments
 *	pin-alone	PIN alone
 *	floor		the kernel's part of PIN: pin_user_pages_fast(), by tests/module/floor.c
 *	bulk		mlock, and one read of /proc/self/pagemap for all of it (does not pin)
 *	each		one open and read of pagemap a page, as DPDK and ixy do (does not even lock)
 *	map+lookup	VFIO_IOMMU_MAP_DMA of all, and LOOKUP
 *	strict		VFIO_IOMMU_MAP_DMA of each contiguous run at its bus address, which is known
 *	lookup-map	the map of map+lookup alone
 *	iommu-map	as lookup-map, behind the IOMMU of the machine intel-iommu: its only way
 *	release		UNPIN
 *	floor-release	the kernel's part of UNPIN
 *
 * translate.t WAY KIND measures one way, with memory of one kind, for a profile.
 *
 * most=N on the kernel's command line: at most N MiB.
 *
 * It also measures the kernel's memory for a segment of a pin, and of a map, with that of VFIO.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../tests/module/floor.h"
#include "devices.h"
#include "devnode.h"
#include "figure.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define RUNS 5
#define MAX_STRICT 60000	/* type1 allows 65535 maps */
#define MAX_EACH (16ul << 20)	/* bytes for the way each, which is slow */
#define ONLY (256ul << 20)	/* bytes for a profile */
#define QUICK 16		/* maximum MiB with quick=1 */
#define MOST 1024		/* maximum MiB otherwise */
#define MANY 1000		/* segments: so many that other allocations of the kernel do not matter */

enum way { PIN, PIN_LOOKUP, PIN_ALONE, RELEASE, FLOOR, FLOOR_RELEASE, BULK, EACH, MAP_LOOKUP, STRICT, LOOKUP_MAP, WAYS };

static const char *names[WAYS] = {
	"pin", "pin+lookup", "pin-alone", "release", "floor", "floor-release", "bulk", "each", "map+lookup", "strict", "lookup-map",
};

/* Microseconds of warming up, in which each way runs at least once; more for a profile. */
static double warm_up;

/* Set on the machine with an emulated IOMMU, which has 39 bits. */
static bool translated;

#define IOVA (translated ? 1ull << 36 : FLATIOMMU_LOOKUP_FIRST)

static const char *const devices[] = { EDU, NULL };

static struct vfio_dev edu = VFIO_DEV_INIT;
static int container, flat, floor_fd;

/* The memory that is measured. */
struct memory {
	const char *kind;
	char *addr;
	size_t size;
	size_t page_size;
	bool fresh;
	struct flatiommu_segment *segments;	/* at most one for each page */
	unsigned int nr_segments;
	uint64_t *entries;			/* of pagemap */
};

/* The ways. Each returns microseconds, or a negative number if it is not possible. */

/* Parsed once, so that measuring does not include it. */
static struct flatiommu_function function;

/* Frees the pages of memory that has to be fresh. */
static void renew(struct memory *m)
{
	if (m->fresh)
		must(madvise(m->addr, m->size, MADV_DONTNEED) ? -errno : 0, "MADV_DONTNEED");
}

static struct flatiommu_pin pin_of(struct memory *m)
{
	return (struct flatiommu_pin){
		.size = sizeof(struct flatiommu_pin),
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
		.vaddr = (uintptr_t)m->addr,
		.length = m->size,
	};
}

static double pin(struct memory *m)
{
	struct flatiommu_pin arg = pin_of(m);
	double start = now(), took;

	arg.nr_segments = (uint32_t)(m->size / PAGE);
	arg.segments = (uintptr_t)m->segments;
	must(flat_call(flat, FLATIOMMU_PIN, &arg), "PIN");
	took = now() - start;
	if (arg.out_length != m->size)
		must(-EIO, "segments");
	must(flat_unpin(flat, arg.out_pin), "UNPIN");
	return took;
}

static double pin_lookup(struct memory *m)
{
	struct flatiommu_pin arg = pin_of(m);
	struct flatiommu_lookup lookup = {
		.size = sizeof(lookup),
		.flags = FLATIOMMU_LOOKUP_PIN,
		.function = function,
		.length = m->size,
		.nr_segments = (uint32_t)(m->size / PAGE),
		.segments = (uintptr_t)m->segments,
	};
	double start = now(), took;

	must(flat_call(flat, FLATIOMMU_PIN, &arg), "PIN");
	lookup.pin = arg.out_pin;
	must(flat_call(flat, FLATIOMMU_LOOKUP, &lookup), "LOOKUP");
	took = now() - start;
	must(flat_unpin(flat, arg.out_pin), "UNPIN");
	return took;
}

static double pin_alone(struct memory *m)
{
	struct flatiommu_pin arg = pin_of(m);
	double start = now(), took;

	must(flat_call(flat, FLATIOMMU_PIN, &arg), "PIN");
	took = now() - start;
	must(flat_unpin(flat, arg.out_pin), "UNPIN");
	return took;
}

static double release(struct memory *m)
{
	struct flatiommu_pin arg = pin_of(m);
	double start;

	must(flat_call(flat, FLATIOMMU_PIN, &arg), "PIN");
	start = now();
	must(flat_unpin(flat, arg.out_pin), "UNPIN");
	return now() - start;
}

static void floor_begin(struct memory *m)
{
	struct floor_pin arg = {
		.addr = (uintptr_t)m->addr,
		.size = m->size,
		.step = m->page_size / PAGE,
	};

	must(ioctl(floor_fd, FLOOR_PIN, &arg) ? -errno : 0, "FLOOR_PIN");
}

static double bare_pin(struct memory *m)
{
	double start = now(), took;

	floor_begin(m);
	took = now() - start;
	ioctl(floor_fd, FLOOR_UNPIN);
	return took;
}

static double bare_release(struct memory *m)
{
	double start;

	floor_begin(m);
	start = now();
	ioctl(floor_fd, FLOOR_UNPIN);
	return now() - start;
}

static double bulk(struct memory *m)
{
	double start = now(), took;

	must(mlock(m->addr, m->size) ? -errno : 0, "mlock");
	must(bus_addresses(m->addr, m->entries, m->size / PAGE), "pagemap");
	took = now() - start;
	munlock(m->addr, m->size);
	return took;
}

static double each(struct memory *m)
{
	double start = now();
	size_t at;

	if (m->size > MAX_EACH && m->page_size == PAGE)
		return -1;
	for (at = 0; at < m->size; at += m->page_size)
		if (!bus_address(m->addr + at))
			must(-EIO, "pagemap");
	return now() - start;
}

static double map_lookup(struct memory *m)
{
	struct flatiommu_lookup lookup = {
		.size = sizeof(lookup),
		.function = function,
		.start = IOVA,
		.length = m->size,
		.nr_segments = (uint32_t)(m->size / PAGE),
		.segments = (uintptr_t)m->segments,
	};
	double start = now(), took;

	must(vfio_map(container, m->addr, IOVA, m->size), "MAP_DMA");
	must(flat_call(flat, FLATIOMMU_LOOKUP, &lookup), "LOOKUP");
	took = now() - start;
	if (lookup.length != m->size)
		must(-EIO, "segments");
	m->nr_segments = lookup.nr_segments;
	must(vfio_unmap(container, IOVA, m->size), "UNMAP_DMA");
	return took;
}

static double lookup_map(struct memory *m)
{
	double start = now(), took;

	must(vfio_map(container, m->addr, IOVA, m->size), "MAP_DMA");
	took = now() - start;
	must(vfio_unmap(container, IOVA, m->size), "UNMAP_DMA");
	return took;
}

/*
 * Runs after map_lookup(), which has the addresses. Nothing moves the memory: it was pinned until a
 * moment ago.
 */
static double strict(struct memory *m)
{
	double start, took;
	size_t at = 0;
	unsigned int i;

	if (m->nr_segments > MAX_STRICT)
		return -1;
	start = now();
	for (i = 0; i < m->nr_segments; i++) {
		must(vfio_map(container, m->addr + at, m->segments[i].address,
			      m->segments[i].length), "MAP_DMA");
		at += m->segments[i].length;
	}
	took = now() - start;
	for (i = 0; i < m->nr_segments; i++)
		must(vfio_unmap(container, m->segments[i].address, m->segments[i].length),
		     "UNMAP_DMA");
	return took;
}

static void measure_memory(struct memory *m)
{
	double before, pinned, mapped;
	uint32_t id;

	before = kernel_bytes();
	must(flat_pin(flat, EDU, m->addr, m->size, 0, &id), "PIN");
	pinned = (kernel_bytes() - before) / m->nr_segments;
	must(flat_unpin(flat, id), "UNPIN");
	before = kernel_bytes();
	must(vfio_map(container, m->addr, IOVA, m->size), "MAP_DMA");
	mapped = (kernel_bytes() - before) / m->nr_segments;
	must(vfio_unmap(container, IOVA, m->size), "UNMAP_DMA");
	figure("memory", m->kind, m->size, "pin", &pinned, 1);
	figure("memory", m->kind, m->size, "map", &mapped, 1);
}

static double (*ways[WAYS])(struct memory *m) = {
	pin, pin_lookup, pin_alone, release, bare_pin, bare_release, bulk, each, map_lookup, strict, lookup_map,
};

static void shuffle(unsigned int order[WAYS])
{
	unsigned int i, other, way;

	for (i = 0; i < WAYS; i++) {
		other = (unsigned int)rand() % (i + 1);
		way = i;
		order[i] = order[other];
		order[other] = way;
	}
}

/* Is the way measured with fresh memory? Others need present memory, or do not depend on it. */
static bool is_for_fresh(enum way way)
{
	return way == PIN || way == FLOOR || way == BULK || way == MAP_LOOKUP || way == LOOKUP_MAP;
}

static double try_way(unsigned int way, struct memory *m)
{
	if (!ways[way] || (m->fresh && !is_for_fresh(way)))
		return -1;
	renew(m);
	return ways[way](m);
}

static void measure(const char *kind, char *addr, size_t size, size_t page_size, bool fresh)
{
	struct memory m = { kind, addr, size, page_size, fresh, NULL, 0, NULL };
	double took[WAYS][RUNS], segments, start;
	unsigned int way, run;

	if (!addr) {
		printf("# %s, %zu bytes: no memory\n", kind, size);
		return;
	}
	m.segments = calloc(size / PAGE, sizeof(*m.segments));
	m.entries = calloc(size / PAGE, sizeof(*m.entries));
	memset(m.segments, 1, size / PAGE * sizeof(*m.segments));
	memset(m.entries, 1, size / PAGE * sizeof(*m.entries));
	if (floor_fd > 0)
		must(ioctl(floor_fd, FLOOR_ROOM, size / PAGE) ? -errno : 0, "FLOOR_ROOM");
	/* Warms up with each way. After that the order changes: a way affects the next one. */
	start = now();
	do {
		for (way = 0; way < WAYS; way++)
			try_way(way, &m);
	} while (now() - start < warm_up);
	for (run = 0; run < RUNS; run++) {
		unsigned int order[WAYS] = { 0 };

		shuffle(order);
		for (way = 0; way < WAYS; way++)
			took[order[way]][run] = try_way(order[way], &m);
	}
	for (way = 0; way < WAYS; way++)
		if (took[way][0] >= 0)
			figure("translate", kind, size, names[way], took[way], RUNS);
	if (ways[MAP_LOOKUP] && !fresh) {
		segments = m.nr_segments;
		figure("translate", kind, size, "segments", &segments, 1);
		if (m.nr_segments >= MANY)
			measure_memory(&m);
	}
	free(m.segments);
	free(m.entries);
	munmap(addr, size);
}

static char *scattered(size_t size)
{
	return mem_file_scattered(size / PAGE);
}

/*
 * Faults huge pages in, in an order in which neighbours here are no neighbours on the bus, however
 * the kernel allocates them.
 */
static char *touch_apart(char *addr, size_t size)
{
	size_t first, at;

	for (first = 0; first < 3; first++)
		for (at = first * HUGE_PAGE; at < size; at += 3 * HUGE_PAGE)
			addr[at] = 1;
	memset(addr, 1, size);
	return addr;
}

/* Allocates at least one huge page. */
static char *transparent(size_t size)
{
	size_t whole = size < HUGE_PAGE ? HUGE_PAGE : size;
	char *all = mmap(NULL, whole + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *addr = (char *)(((uintptr_t)all + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));

	if (all == MAP_FAILED)
		return NULL;
	madvise(addr, whole, MADV_HUGEPAGE);
	touch_apart(addr, whole);
	if (addr > all)
		munmap(all, (size_t)(addr - all));
	munmap(addr + whole, (size_t)(all + HUGE_PAGE - addr));
	return addr;
}

/*
 * Huge pages that the kernel has split: each 2 MiB is still contiguous
 * (Documentation/admin-guide/mm/transhuge.rst).
 */
static char *in_order(size_t size)
{
	size_t whole = size < HUGE_PAGE ? HUGE_PAGE : size;
	char *addr = transparent(size), text[64];

	if (!addr)
		return NULL;
	snprintf(text, sizeof(text), "%d,%#" PRIxPTR ",%#" PRIxPTR, getpid(), (uintptr_t)addr,
		 (uintptr_t)addr + whole);
	must(write_text("/sys/kernel/debug/split_huge_pages", text), "split_huge_pages");
	madvise(addr, whole, MADV_NOHUGEPAGE);
	if (whole > size)
		munmap(addr + size, whole - size);
	return addr;
}

/* Many huge pages of either size. */
static char *huge(size_t size, int flags)
{
	char *addr = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | flags, -1, 0);

	return addr == MAP_FAILED ? NULL : touch_apart(addr, size);
}

static char *huge_2m(size_t size)
{
	must(huge_pages((long)(size / HUGE_PAGE)), "huge pages");
	return huge(size, 21 << 26);
}

static char *small(size_t size)
{
	char *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED)
		return NULL;
	madvise(addr, size, MADV_NOHUGEPAGE);
	return addr;
}

/* The page of 1 GiB that the machine pc reserves at boot. */
static char *huge_1g(size_t size)
{
	return size == GIANT_PAGE && mem_has_giant() ? huge(size, 30 << 26) : NULL;
}

static const struct kind {
	const char *name;
	char *(*get)(size_t size);
	size_t from;
	size_t page_size;
	bool fresh;
} kinds[] = {
	{ "4 KiB", scattered, 4096, 4096, false },
	{ "4 KiB in order", in_order, 4096, 4096, false },
	{ "THP", transparent, 16ul << 20, 4096, false },
	{ "2 MiB", huge_2m, 16ul << 20, 2ul << 20, false },
	{ "1 GiB", huge_1g, GIANT_PAGE, GIANT_PAGE, false },
	{ "4 KiB, fresh", small, 4096, 4096, true },
	{ "THP, fresh", transparent, 16ul << 20, 4096, true },
	{ "2 MiB, fresh", huge_2m, 16ul << 20, 2ul << 20, true },
};

/* Measures all ways with the same memory: of each kind or of @only, from one page of it on. */
static void measure_all(const char *only)
{
	static const size_t sizes[] = { 4096, 64 << 10, 1ul << 20, 16ul << 20, 256ul << 20, 1ul << 30 };
	size_t most = parameter(" most=", is_quick() ? QUICK : MOST), n = ARRAY_SIZE(sizes), i, k;

	while (sizes[n - 1] > (only ? ONLY : most << 20))
		n--;
	for (k = 0; k < ARRAY_SIZE(kinds); k++)
		for (i = only ? n - 1 : 0; i < n; i++)
			if ((!only || !strcmp(only, kinds[k].name)) && sizes[i] >= kinds[k].from)
				measure(kinds[k].name, kinds[k].get(sizes[i]), sizes[i], kinds[k].page_size,
					kinds[k].fresh);
	huge_pages(0);
}

static void measure_behind_iommu(void)
{
	enum way way;

	translated = true;
	for (way = 0; way < WAYS; way++)
		if (way != LOOKUP_MAP)
			ways[way] = NULL;
	names[LOOKUP_MAP] = "iommu-map";
	must(module_probe("vfio-pci"), "vfio-pci");
	must(pci_bind(EDU, "vfio-pci"), "bind");
	container = vfio_container();
	must(container, "container");
	must(vfio_open(&edu, container, EDU), "edu");
	measure_all(NULL);
	vfio_close(&edu);
	close_fd(&container);
	must(pci_unbind(EDU), "unbind");
	must(pci_bind_default(EDU), "unbind");
}

static void measure_flatiommu(const char *only)
{
	must(flat_begin(devices), "the module");
	container = vfio_container();
	must(container, "container");
	must(vfio_open(&edu, container, EDU), "edu");
	flat = flat_open();
	must(flat, "/dev/flatiommu");
	must(flat_declare(flat, EDU), "DECLARE");
	must(module_load("/flatiommu/floor.ko", ""), "floor.ko");
	floor_fd = open("/dev/floor", O_RDWR | O_CLOEXEC);
	must(floor_fd < 0 ? -errno : 0, "/dev/floor");
	measure_all(only);
	close_fd(&floor_fd);
	must(module_unload("floor"), "floor.ko");
	close_fd(&flat);
	vfio_close(&edu);
	close_fd(&container);
	must(flat_end(devices), "the end");
}

int main(int argc, char **argv)
{
	const char *machine = getenv("FLATIOMMU_MACHINE");
	enum way way;

	function = flat_function(EDU);
	if (argc == 3)
		warm_up = 2e6;
	for (way = 0; way < WAYS && argc == 3; way++)
		if (strcmp(names[way], argv[1]))
			ways[way] = NULL;

	if (machine && !strcmp(machine, "intel-iommu"))
		measure_behind_iommu();
	else
		measure_flatiommu(argc == 3 ? argv[2] : NULL);
	printf("ok 1 - measured\n1..1\n");
	return 0;
}
