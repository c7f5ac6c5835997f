// SPDX-License-Identifier: MIT
/*
 * Claims that hold a BAR write-combined: vfio-pci's mapping of it is write-combined, mappings of
 * other BARs are not, and nothing is left after the claim.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices.h"
#include "devnode.h"
#include "kmsg.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

/* What the kernel has of mapped device memory; there only with PAT. */
#define TYPES "/sys/kernel/debug/x86/pat_memtype_list"

enum { NOT_MAPPED = 0, UNCACHED = 1, WRITE_COMBINED = 2, OTHER = 4 };

static struct vfio_dev dev = VFIO_DEV_INIT;
static int container = -1, flat = -1;
static void *bar;
static size_t bar_size;

/* Of BAR 2 of TESTDEV, as a program without VFIO has it. */
static char *first_page, *last_page;

/* UNCACHED and the like, of all mappings of a BAR. */
static int types_of(uint64_t start, uint64_t size)
{
	unsigned long long first, end;
	char line[256], type[64];
	FILE *f = fopen(TYPES, "re");
	int types = 0;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "PAT: [mem 0x%llx-0x%llx] %63s", &first, &end, type) != 3 ||
		    end <= start || first >= start + size)
			continue;
		if (!strcmp(type, "uncached-minus"))
			types |= UNCACHED;
		else if (!strcmp(type, "write-combining"))
			types |= WRITE_COMBINED;
		else
			types |= OTHER;
	}
	fclose(f);
	return types;
}

static int types(const char *bdf, unsigned int index)
{
	uint64_t start, size;
	int ret = pci_bar(bdf, index, &start, &size);

	return ret ? ret : types_of(start, size);
}

/* QEMU's answer to a command, in @text; 0 or -errno. */
static int ask_qemu(const char *command, char *text, size_t size)
{
	char line[512];
	FILE *f;

	snprintf(line, sizeof(line), "qmp '%s'", command);
	f = popen(line, "re");
	if (!f)
		return -errno;
	size = fread(text, 1, size - 1, f);
	text[size] = '\0';
	return pclose(f) ? -EIO : 0;
}

/* The number that follows @mark in what QEMU's monitor says. */
static int monitor(const char *command, const char *mark, uint64_t *number)
{
	char line[256], text[8192];
	const char *found;
	int ret;

	snprintf(line, sizeof(line),
		 "{\"execute\": \"human-monitor-command\", \"arguments\": "
		 "{\"command-line\": \"%s\", \"cpu-index\": 0}}", command);
	ret = ask_qemu(line, text, sizeof(text));
	if (ret)
		return ret;
	found = strstr(text, mark);
	if (!found)
		return -ENOENT;
	*number = strtoull(found + strlen(mark), NULL, 16);
	return 0;
}

#define ENTRY_PRESENT 0x1u
#define ENTRY_PWT 0x8u
#define ENTRY_PCD 0x10u
#define ENTRY_LARGE 0x80u	/* but in the last table, where it is PAT */
#define ENTRY_PAT 0x80u
#define ENTRY_PAT_LARGE 0x1000u
#define ENTRY_ADDRESS 0xffffffffff000ull

/*
 * The memory type that @addr's page table entry asks for, as Linux sets PAT. QEMU reads the entry,
 * from the address space that processor 0 is in.
 */
static int type_in_page_table(const void *addr, uint64_t bus)
{
	uint64_t entry, mask;
	char command[64];
	int shift, ret;
	unsigned int pat;

	ret = monitor("info registers", "CR3=", &entry);
	for (shift = 39; !ret; shift -= 9) {
		snprintf(command, sizeof(command), "xp /1gx 0x%llx",
			 (unsigned long long)((entry & ENTRY_ADDRESS) +
					      8 * ((uintptr_t)addr >> shift & 511)));
		ret = monitor(command, ": 0x", &entry);
		if (!ret && !(entry & ENTRY_PRESENT))
			ret = -EAGAIN;
		if (shift == 12 || (shift <= 30 && entry & ENTRY_LARGE))
			break;
	}
	if (ret)
		return ret;
	mask = (1ull << shift) - 1;
	pat = shift == 12 ? ENTRY_PAT : ENTRY_PAT_LARGE;
	/* Of another process, perhaps. */
	if ((entry & ENTRY_ADDRESS & ~mask) != (bus & ~mask))
		return -EAGAIN;
	switch (entry & (ENTRY_PWT | ENTRY_PCD | pat)) {
	case ENTRY_PWT:
		return WRITE_COMBINED;
	case ENTRY_PCD:
		return UNCACHED;
	default:
		return OTHER;
	}
}

static void run_on(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static atomic_bool enough;

/* Keeps this address space on processor 0. */
static void *spin(void *arg)
{
	run_on(0);
	while (!atomic_load(&enough))
		;
	return arg;
}

/* Of what vfio-pci mapped of a BAR. */
static int mapped_type(const volatile void *addr, unsigned int index)
{
	uint64_t bus, size;
	int ret = pci_bar(dev.bdf, index, &bus, &size), tries;
	pthread_t spinner;

	if (ret)
		return ret;
	/* It is mapped as it is touched. */
	(void)*(const volatile uint32_t *)addr;
	atomic_store(&enough, false);
	if (pthread_create(&spinner, NULL, spin, NULL))
		return -EAGAIN;
	run_on(1);
	ret = -EAGAIN;
	for (tries = 0; ret == -EAGAIN && tries < 20; tries++)
		ret = type_in_page_table((const void *)addr, bus);
	atomic_store(&enough, true);
	pthread_join(spinner, NULL);
	return ret;
}

static int claim_wc(const char *bdf, const char *options)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%s", bdf, options);
	return flat_claim(text);
}

static int wc_bars(const char *bdf)
{
	struct flatiommu_info arg = {
		.size = sizeof(arg),
		.flags = FLATIOMMU_INFO_FUNCTION,
		.function = flat_function(bdf),
		.out_wc_bars = ~0u,
	};
	int ret = flat_call(flat, FLATIOMMU_INFO, &arg);

	return ret ? ret : (int)arg.out_wc_bars;
}

/* From the claim to a mapping of BAR 2. */
static void open_bar(const char *bdf, const char *options)
{
	expect(0, claim_wc(bdf, options));
	expect(0, pci_bind(bdf, "vfio-pci"));
	container = expect_good(vfio_container());
	expect(0, vfio_open(&dev, container, bdf));
	expect(0, vfio_map_bar(&dev, VFIO_PCI_BAR2_REGION_INDEX, &bar, &bar_size));
}

static void close_bar(void)
{
	if (bar)
		munmap(bar, bar_size);
	bar = NULL;
	vfio_close(&dev);
	close_fd(&container);
}

static int begin(void **state)
{
	(void)state;
	if (flat_load())
		return -1;
	flat = flat_open();
	return flat < 0 ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	close_fd(&flat);
	return flat_unload();
}

static void unmap_page(char **page)
{
	if (*page)
		munmap(*page, PAGE);
	*page = NULL;
}

/* Loads the module anew. */
static int load_with(const char *parameters)
{
	int ret;

	close_fd(&flat);
	ret = module_is_loaded("flatiommu") ? flat_unload() : 0;
	if (ret)
		return ret;
	ret = module_load(MODULE_FILE, parameters);
	if (ret)
		return ret;
	flat = flat_open();
	return flat < 0 ? flat : 0;
}

/* After each test, however far it came. */
static int clean_up(void **state)
{
	int ret;

	(void)state;
	close_bar();
	unmap_page(&first_page);
	unmap_page(&last_page);
	ret = pci_give_back(TESTDEV);
	if (pci_give_back(SHM) || pci_give_back(EDU) || pci_give_back(NVME) ||
	    !wait_until(nvme_is_live, NVME) || ret)
		return -1;
	return module_is_loaded("flatiommu") ? 0 : load_with("");
}

static void off_by_default(void **state)
{
	(void)state;
	expect(NOT_MAPPED, types(TESTDEV, 2));
	open_bar(TESTDEV, "");
	expect(0, wc_bars(TESTDEV));
	expect(UNCACHED, types(TESTDEV, 2));
	expect(UNCACHED, mapped_type(bar, 2));
}

static void write_combined_for_vfio(void **state)
{
	(void)state;
	open_bar(TESTDEV, "/wc=2");
	expect(1 << 2, wc_bars(TESTDEV));
	expect(WRITE_COMBINED, types(TESTDEV, 2));
	expect(WRITE_COMBINED, mapped_type(bar, 2));
	/* The other BAR is not. */
	expect(UNCACHED, types(TESTDEV, 0));
	expect(UNCACHED, mapped_type(dev.bar0, 0));
}

static void from_claim_to_release(void **state)
{
	(void)state;
	expect(0, log_mark());
	expect(0, claim_wc(TESTDEV, "/wc=2\n"));
	assert_int_equal(log_count(TESTDEV ": write-combined while it is claimed: BAR 2"), 1);
	expect(WRITE_COMBINED, types(TESTDEV, 2));
	expect(NOT_MAPPED, types(TESTDEV, 0));
	expect(0, flat_release(TESTDEV));
	expect(NOT_MAPPED, types(TESTDEV, 2));
	expect(0, wc_bars(TESTDEV));

	open_bar(TESTDEV, "/wc=2");
	close_bar();
	expect(0, pci_unbind(TESTDEV));
	expect(1 << 2, wc_bars(TESTDEV));
	expect(WRITE_COMBINED, types(TESTDEV, 2));
	expect(0, flat_release(TESTDEV));
	expect(NOT_MAPPED, types(TESTDEV, 2));
	/* The next claim has nothing of it. */
	off_by_default(state);
}

static void what_is_written_arrives(void **state)
{
	(void)state;
	open_bar(SHM, "/wc=2");
	expect(WRITE_COMBINED, mapped_type(bar, 2));
	memset(bar, 0, bar_size);
	fill(bar, bar_size, 1);
	assert_true(is_filled(bar, bar_size, 1));
	close_bar();
	expect(0, pci_give_back(SHM));
	/* An uncached mapping sees it, too. */
	open_bar(SHM, "");
	expect(UNCACHED, mapped_type(bar, 2));
	assert_true(is_filled(bar, bar_size, 1));
}

/* @line is what the log says after the name of the device. */
static void expect_claim_refused(int error, const char *bdf, const char *options, const char *line)
{
	char text[256];

	snprintf(text, sizeof(text), "flatiommu: %s: %s\n", bdf, line);
	expect(0, log_mark());
	expect(error, claim_wc(bdf, options));
	assert_string_equal(log_lines("flatiommu: ", NULL), text);
	expect(0, wc_bars(bdf));
	expect(-ENOENT, pci_group(bdf));
}

static void refuses_what_is_no_option(void **state)
{
	static const char *const options[] = {
		"/", "/wc", "/wc=", "/wc=6", "/wc=9", "/wc=-1", "/wc=x", "/wc=22", "/wc=2+", "/wc=+2",
		"/wc=2++0", "/wc=2,0", "/wc=2 0", "/WC=2", "/wc:2", "/wc= 2", "//wc=2",
		"/wc=2+6", "/hold/", "/holds", "/hold=1", "/Hold", "/ hold", "/hold,fence", "/hold/fence/no", "/fenc",
		"/wc=2hold", "/holdfence", "/wc=2/fence/fenced",
	};
	static const char *const twice[] = { "/wc=2/wc=0", "/hold/hold", "/fence/wc=2/fence", "/hold/wc=2/hold" };
	char line[192];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(options); i++) {
		snprintf(line, sizeof(line), "not claimed: '%s' has an invalid option: use hold, fence or wc=BAR[+BAR...],"
			 " such as wc=0+2, with BARs 0 to 5", options[i] + 1);
		expect_claim_refused(-EINVAL, TESTDEV, options[i], line);
	}
	for (i = 0; i < ARRAY_SIZE(twice); i++) {
		snprintf(line, sizeof(line), "not claimed: '%s' has an option twice", twice[i] + 1);
		expect_claim_refused(-EINVAL, TESTDEV, twice[i], line);
	}
	expect(-EINVAL, flat_claim("/wc=2"));
	expect(-EINVAL, flat_claim("hello/wc=2"));
	expect(-EINVAL, flat_claim(TESTDEV " /wc=2"));
	expect(NOT_MAPPED, types(TESTDEV, 2));
	/* All of them at once are too long, and are not cut to fewer. */
	expect(-EINVAL, flat_claim(TESTDEV "/wc=2+2+2+2+2+2+2+2+2+2+2+2+2+2+2+2+2+2+2"));
	/* To release it is no address. */
	expect(0, claim_wc(TESTDEV, "/wc=2"));
	expect(-EINVAL, flat_release(TESTDEV "/wc=2"));
	expect(1 << 2, wc_bars(TESTDEV));
}

#define NOT(bar) "not claimed: BAR " #bar " cannot be write-combined: "

static void refuses_bars_that_do_not_suit(void **state)
{
	(void)state;
	expect_claim_refused(-ENXIO, TESTDEV, "/wc=0", NOT(0) "it is not prefetchable");
	expect_claim_refused(-ENXIO, TESTDEV, "/wc=1", NOT(1) "it is not memory");
	expect_claim_refused(-ENXIO, TESTDEV, "/wc=4",
			     NOT(4) "there is none, or it has no address");
	expect_claim_refused(-ENXIO, TESTDEV, "/wc=3",
			     NOT(3) "it is the upper half of the one before it");
	expect_claim_refused(-ENXIO, SHM, "/wc=0",
			     NOT(0) "it may share a page with something else");
	expect_claim_refused(-ENXIO, TESTDEV, "/wc=2+4",
			     NOT(4) "there is none, or it has no address");
	expect(NOT_MAPPED, types(TESTDEV, 2));

	expect_claim_refused(-EBUSY, NVME, "/wc=0",
			     "not claimed: nvme is bound to it; unbind that first");
	expect(0, pci_unbind(NVME));
	expect_claim_refused(-ENXIO, NVME, "/wc=0", NOT(0) "the MSI-X table is in it, or the function is asleep");
	expect(0, pci_bind_default(NVME));
}

static char *map_sysfs_page(const char *name, size_t offset)
{
	char path[128];
	void *addr;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/" TESTDEV "/%s", name);
	fd = expect_good(open(path, O_RDWR | O_CLOEXEC));
	addr = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	close(fd);
	assert_ptr_not_equal(addr, MAP_FAILED);
	return addr;
}

static void refuses_bar_that_is_mapped(void **state)
{
	(void)state;
	last_page = map_sysfs_page("resource2", (16 << 20) - PAGE);
	expect(UNCACHED, types(TESTDEV, 2));
	expect_claim_refused(-EADDRINUSE, TESTDEV, "/wc=2", NOT(2)
			     "it is mapped uncached already, by a program through sysfs perhaps");
	expect(UNCACHED, types(TESTDEV, 2));

	/* Two types at once are none that the kernel could take for all of it. */
	first_page = map_sysfs_page("resource2_wc", 0);
	expect(UNCACHED | WRITE_COMBINED, types(TESTDEV, 2));
	expect_claim_refused(-ENOMEM, TESTDEV, "/wc=2", NOT(2) "the kernel cannot map it; programs may have parts of it mapped");

	/* Another write-combined one does not disturb the claim's, nor does its end. */
	unmap_page(&last_page);
	expect(WRITE_COMBINED, types(TESTDEV, 2));
	expect(0, claim_wc(TESTDEV, "/wc=2"));
	unmap_page(&first_page);
	expect(WRITE_COMBINED, types(TESTDEV, 2));
	expect(0, flat_release(TESTDEV));
	expect(NOT_MAPPED, types(TESTDEV, 2));
}

static void mapping_outlives_the_claim(void **state)
{
	(void)state;
	expect(0, claim_wc(TESTDEV, "/wc=2"));
	first_page = map_sysfs_page("resource2_wc", 0);
	expect(0, log_mark());
	expect(0, flat_release(TESTDEV));
	assert_int_equal(log_count(TESTDEV ": BAR 2 stays write-combined after its claim"), 1);
	unmap_page(&first_page);
	/* Nobody has it mapped at the next one's end. */
	expect(0, claim_wc(TESTDEV, "/wc=2"));
	expect(0, log_mark());
	expect(0, flat_release(TESTDEV));
	assert_int_equal(log_count("stays write-combined"), 0);
}

static void second_claim_changes_nothing(void **state)
{
	(void)state;
	expect(0, flat_claim(TESTDEV));
	expect(-EEXIST, claim_wc(TESTDEV, "/wc=2"));
	expect(0, wc_bars(TESTDEV));
	expect(NOT_MAPPED, types(TESTDEV, 2));
	expect(0, flat_release(TESTDEV));
	expect(0, claim_wc(TESTDEV, "/wc=2"));
	expect(-EEXIST, flat_claim(TESTDEV));
	expect(1 << 2, wc_bars(TESTDEV));
	expect(WRITE_COMBINED, types(TESTDEV, 2));
}

static void by_parameter(void **state)
{
	(void)state;
	expect(0, load_with("devices=" EDU "," TESTDEV "/wc=2,"));
	expect(0, wc_bars(EDU));
	expect(1 << 2, wc_bars(TESTDEV));
	expect(WRITE_COMBINED, types(TESTDEV, 2));
	expect(0, flat_release(EDU));
	expect(0, flat_release(TESTDEV));

	/* It counts, too, when vfio-pci binds. */
	expect(0, pci_bind(TESTDEV, "vfio-pci"));
	expect(1 << 2, wc_bars(TESTDEV));
	expect(WRITE_COMBINED, types(TESTDEV, 2));
	expect(0, pci_give_back(TESTDEV));
	expect(NOT_MAPPED, types(TESTDEV, 2));

	/* One that is refused keeps the module from nothing else. */
	expect(0, log_mark());
	expect(0, load_with("devices=" TESTDEV "/wc=0," EDU));
	assert_int_equal(log_count(TESTDEV ": " NOT(0) "it is not prefetchable"), 1);
	expect(-ENOENT, pci_group(TESTDEV));
	expect_good(pci_group(EDU));
	expect(0, flat_release(EDU));

	expect(0, log_mark());
	expect(-EINVAL, load_with("devices=" TESTDEV "/wc=6"));
	assert_int_equal(log_count(TESTDEV ": not claimed: 'wc=6' has an invalid option"), 1);
	expect(0, load_with(""));
}

static bool is_there(void *bdf)
{
	return pci_is_there(bdf);
}

static bool is_gone(void *bdf)
{
	return !pci_is_there(bdf);
}

#define PLUG(size)							\
	"{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"pci-testdev\","	\
	" \"id\": \"testdev-hot\", \"bus\": \"hot0\", \"membar\": " #size "}}"

#define UNPLUG "{\"execute\": \"device_del\", \"arguments\": {\"id\": \"testdev-hot\"}}"

/* QEMU refuses while it is not done with the one before. */
static bool plug(void *command)
{
	char text[256];

	return !ask_qemu(command, text, sizeof(text));
}

static void plug_in(const char *command)
{
	assert_true(wait_until(plug, (void *)command));
	assert_true(wait_until(is_there, HOT_EMPTY_DEV));
}

static void pull_out(void)
{
	char text[256];

	expect(0, ask_qemu(UNPLUG, text, sizeof(text)));
	assert_true(wait_until(is_gone, HOT_EMPTY_DEV));
}

static int pull_out_all(void **state)
{
	char text[256];

	close_bar();
	if (pci_is_there(HOT_EMPTY_DEV)) {
		ask_qemu(UNPLUG, text, sizeof(text));
		wait_until(is_gone, HOT_EMPTY_DEV);
	}
	return clean_up(state);
}

static bool is_not_mapped(void *arg)
{
	uint64_t *range = arg;

	return types_of(range[0], range[1]) == NOT_MAPPED;
}

static void until_unplugged(void **state)
{
	uint64_t range[2];

	(void)state;
	plug_in(PLUG(1048576));
	expect(0, claim_wc(HOT_EMPTY_DEV, "/wc=2"));
	expect(0, pci_bind(HOT_EMPTY_DEV, "vfio-pci"));
	expect(WRITE_COMBINED, types(HOT_EMPTY_DEV, 2));
	expect(0, pci_bar(HOT_EMPTY_DEV, 2, &range[0], &range[1]));
	assert_int_equal(range[1], 1048576);
	pull_out();
	assert_true(wait_until(is_not_mapped, range));
}

/* Its BARs have no addresses yet when it comes. */
static void when_it_comes_later(void **state)
{
	(void)state;
	expect(0, load_with("devices=" HOT_EMPTY_DEV "/wc=2"));
	expect(0, log_mark());
	plug_in(PLUG(1048576));
	assert_int_equal(log_count(HOT_EMPTY_DEV ": devices= says wc="), 1);
	expect(-ENOENT, pci_group(HOT_EMPTY_DEV));
	expect(0, pci_bind(HOT_EMPTY_DEV, "vfio-pci"));
	expect(1 << 2, wc_bars(HOT_EMPTY_DEV));
	expect(WRITE_COMBINED, types(HOT_EMPTY_DEV, 2));
	pull_out();
	expect(0, load_with(""));
}

/* 1 TiB is more than there are addresses. */
static void refuses_bar_without_an_address(void **state)
{
	(void)state;
	plug_in(PLUG(1099511627776));
	expect_claim_refused(-ENXIO, HOT_EMPTY_DEV, "/wc=2",
			     NOT(2) "there is none, or it has no address");
	pull_out();
}

static void refuses_without_pat(void **state)
{
	(void)state;
	expect_claim_refused(-EOPNOTSUPP, TESTDEV, "/wc=2", NOT(2)
			     "that needs an x86 processor, and PAT switched on");
	expect(0, flat_claim(TESTDEV));
}

#define TEST(f) cmocka_unit_test_teardown(f, clean_up)
#define HOT_TEST(f) cmocka_unit_test_teardown(f, pull_out_all)

int main(void)
{
	const struct CMUnitTest without_pat[] = {
		TEST(refuses_without_pat),
	};
	const struct CMUnitTest tests[] = {
		TEST(off_by_default),
		TEST(write_combined_for_vfio),
		TEST(from_claim_to_release),
		TEST(what_is_written_arrives),
		TEST(refuses_what_is_no_option),
		TEST(refuses_bars_that_do_not_suit),
		TEST(refuses_bar_that_is_mapped),
		TEST(mapping_outlives_the_claim),
		TEST(second_claim_changes_nothing),
		TEST(by_parameter),
		HOT_TEST(until_unplugged),
		HOT_TEST(when_it_comes_later),
		HOT_TEST(refuses_bar_without_an_address),
	};

	if (access(TYPES, F_OK))
		return run_group(without_pat, begin, end);
	return run_group(tests, begin, end);
}
