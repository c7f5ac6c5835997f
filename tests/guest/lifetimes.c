// SPDX-License-Identifier: MIT
/*
 * Unexpected ends: programs are killed and devices unplugged under DMA, claims race with all events
 * that they depend on, and the machine sleeps. Memory of a killed program is allocated again at
 * once, and its new contents must not change. On the kernel's command line: life_kills=N,
 * life_unplugs=N, life_seconds=N of races, life_seed=S.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "hotplug.h"
#include "mem.h"
#include "nvme.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define PAGES		64
#define CANARY		(8 * HUGE_PAGE)
#define NR_HUGE		2
#define LOOKUP_IOVA	FLATIOMMU_LOOKUP_FIRST

static long pins_before;
/* Where a program that is killed had its pages; the last one is written to last. */
static uint64_t *were;

static unsigned long parameter(const char *name, unsigned long otherwise)
{
	char text[4096], *at;

	if (read_text("/proc/cmdline", text, sizeof(text)) < 0)
		return otherwise;
	at = strstr(text, name);
	return at ? strtoul(at + strlen(name), NULL, 0) : otherwise;
}

/* How a program that is to be killed has its memory, and until when another one has its device. */
struct writer {
	const char *bdf;
	bool looks_up, huge;
	/* Pinned for VFIO's functions, through a file that is closed before those of VFIO, or after them. */
	bool pins, pins_first;
	int tell[2], let_go[2];
};

/* All of it is pinned, for as long as VFIO's files are there. */
static int pin_all(const struct writer *w, int flat, char *memory, uint64_t *bus)
{
	struct flatiommu_function function = flat_function(w->bdf);
	struct flatiommu_segment segments[PAGES] = { 0 };
	struct flatiommu_pin arg = {
		.size = sizeof(arg),
		.flags = FLATIOMMU_PIN_VFIO,
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
		.vaddr = (uintptr_t)memory,
		.length = PAGES * PAGE,
		.nr_segments = PAGES,
		.segments = (uintptr_t)segments,
	};
	unsigned int i, page = 0;
	uint64_t at;
	int ret = flat_declare(flat, w->bdf);

	if (!ret)
		ret = flat_call(flat, FLATIOMMU_PIN, &arg);
	for (i = 0; !ret && i < arg.nr_segments; i++)
		for (at = 0; at < segments[i].length; at += PAGE)
			bus[page++] = segments[i].address + at;
	return ret ? ret : page == PAGES ? 0 : -EFAULT;
}

/* Maps it, page by page where addresses are bus addresses, and says where each page is on the bus. */
static int map_all(const struct writer *w, int flat, int container, char *memory, uint64_t *bus)
{
	unsigned int i;
	int ret;

	if (w->pins)
		return pin_all(w, w->pins_first ? flat : flat_open(), memory, bus);
	if (!w->looks_up) {
		for (i = 0; i < PAGES; i++) {
			ret = vfio_map_at_bus(container, memory + i * PAGE, PAGE, &bus[i]);
			if (ret)
				return ret;
		}
		return 0;
	}
	ret = flat < 0 ? flat : flat_declare(flat, w->bdf);
	if (!ret)
		ret = vfio_map(container, memory, LOOKUP_IOVA, PAGES * PAGE);
	for (i = 0; !ret && i < PAGES; i++) {
		bus[i] = flat_address(flat, w->bdf, LOOKUP_IOVA + i * PAGE);
		if (!bus[i])
			ret = -EFAULT;
	}
	return ret;
}

/* The controller writes into the memory, again and again. */
static int write_for_ever(void *arg)
{
	struct vfio_dev dev = VFIO_DEV_INIT;
	struct writer *w = arg;
	char *memory = w->huge ? mem_huge() : mem_pages(PAGES);
	uint64_t bus[PAGES];
	struct nvme nvme;
	/* Files are closed in the order of their numbers. */
	int flat = flat_open(), container = vfio_container(), ret = memory ? container : -ENOMEM;
	unsigned int i;

	if (ret >= 0)
		ret = vfio_open(&dev, container, w->bdf);
	if (!ret)
		ret = nvme_start(&nvme, &dev, container);
	if (!ret)
		ret = map_all(w, flat, container, memory, bus);
	if (!ret)
		memcpy(were, bus, sizeof(bus));
	for (i = 0; !ret; i = (i + 1) % PAGES) {
		ret = nvme_identify_to(&nvme, NVME_CNS_CONTROLLER, bus[i]);
		if (i == PAGES - 1 && write(w->tell[1], "", 1) < 0)
			ret = -EPIPE;
	}
	return ret;
}

/* The copy begins a tenth of a second after it was asked for: whoever is killed now is killed before it. */
static int write_later(void *arg)
{
	struct vfio_dev edu = VFIO_DEV_INIT;
	struct writer *w = arg;
	char *memory = mem_pages(PAGES);
	uint64_t bus[PAGES];
	int flat = flat_open(), container, ret = memory ? vfio_open_alone(&edu, &container, EDU) : -ENOMEM;

	if (!ret)
		ret = map_all(w, flat, container, memory, bus);
	if (!ret)
		ret = edu_load(edu.bar0, bus[0], EDU_COPY);
	if (ret)
		return ret;
	memcpy(were, bus, sizeof(bus));
	edu_begin_store(edu.bar0, bus[PAGES - 1], EDU_COPY);
	return write(w->tell[1], "", 1) == 1 ? pause() : -EPIPE;
}

/* A child that keeps the device's file, so that the death of its parent does not close it. */
static int keep_device(struct writer *w)
{
	pid_t pid = fork();
	char byte;

	if (pid < 0)
		return -errno;
	if (!pid) {
		close(w->let_go[1]);
		close(w->tell[1]);
		_exit(read(w->let_go[0], &byte, 1) != 0);
	}
	return 0;
}

/* The same with memory that is pinned: nobody stops the device but the module. */
static int pin_and_write_later(void *arg)
{
	struct vfio_dev edu = VFIO_DEV_INIT;
	struct writer *w = arg;
	int container, flat, ret = vfio_open_alone(&edu, &container, EDU);
	unsigned int i;
	uint32_t pin;
	char *memory;

	if (!ret)
		ret = keep_device(w);
	if (ret)
		return ret;
	/* It is none of the child's. */
	memory = mem_pages(PAGES);
	flat = flat_open();
	ret = flat < 0 ? flat : flat_pin(flat, EDU, memory, PAGES * PAGE, 0, &pin);
	for (i = 0; !ret && i < PAGES; i++)
		were[i] = flat_address_in_pin(flat, EDU, pin, i * PAGE);
	if (!ret)
		ret = edu_load(edu.bar0, were[0], EDU_COPY);
	if (ret)
		return ret;
	edu_begin_store(edu.bar0, were[PAGES - 1], EDU_COPY);
	return write(w->tell[1], "", 1) == 1 ? pause() : -EPIPE;
}

static pid_t begin_writer(struct writer *w, int (*fn)(void *arg))
{
	pid_t pid;
	char byte;

	assert_int_equal(pipe(w->tell), 0);
	pid = expect_good(child_begin(fn, w));
	close(w->tell[1]);
	assert_int_equal(read(w->tell[0], &byte, 1), 1);
	return pid;
}

/* How many of the killed program's pages are there. */
static unsigned int count_taken(const char *memory, size_t size)
{
	static uint64_t bus[8 * MAX_PAGE / 8];
	unsigned int taken = 0, i;
	size_t page;

	expect(0, bus_addresses(memory, bus, size / PAGE));
	for (page = 0; page < size / PAGE; page++)
		for (i = 0; i < PAGES; i++)
			taken += bus[page] == were[i];
	return taken;
}

/* Takes what was given back, to which nobody else may write. Returns how many pages of it it got. */
static unsigned int expect_quiet_memory(void)
{
	char *canary = mem_pages(CANARY / PAGE), *huge = mem_huge();
	unsigned int taken;

	assert_non_null(canary);
	fill(canary, CANARY, 7);
	if (huge)
		fill(huge, HUGE_PAGE, 8);
	usleep(150000);
	assert_true(is_filled(canary, CANARY, 7));
	taken = count_taken(canary, CANARY);
	if (huge) {
		assert_true(is_filled(huge, HUGE_PAGE, 8));
		taken += count_taken(huge, HUGE_PAGE);
	}
	mem_free(huge, HUGE_PAGE);
	mem_free(canary, CANARY);
	return taken;
}

static unsigned int end_writer(struct writer *w, pid_t pid)
{
	unsigned int taken;

	kill(pid, SIGKILL);
	expect(-EINTR, child_end(pid));
	taken = expect_quiet_memory();
	close(w->tell[0]);
	assert_int_equal(pins(), pins_before);
	return taken;
}

static void killed_under_dma(void **state)
{
	unsigned long kills = parameter("life_kills=", 10), i, taken = 0;

	(void)state;
	expect(0, huge_pages(NR_HUGE));
	expect(0, pci_take(NVME));
	for (i = 0; i < kills; i++) {
		struct writer w = {
			.bdf = NVME, .looks_up = i & 1, .huge = i & 2, .pins = i & 4, .pins_first = i & 1,
		};
		pid_t pid = begin_writer(&w, write_for_ever);

		usleep((useconds_t)(random() % 50000));
		taken += end_writer(&w, pid);
		if (i % 100 == 99)
			print_message("%lu of %lu kills\n", i + 1, kills);
	}
	print_message("%lu kills; %lu of %lu pages were taken at once\n", kills, taken, kills * PAGES);
	assert_int_not_equal(taken, 0);
	expect(0, pci_give_back(NVME));
	expect(0, huge_pages(0));
}

static void killed_before_dma(void **state)
{
	struct writer w = { .bdf = EDU };
	unsigned int taken = 0;
	int i;

	(void)state;
	expect(0, pci_take(EDU));
	for (i = 0; i < 4; i++) {
		w.looks_up = i & 1;
		w.pins = i & 2;
		w.pins_first = i & 1;
		taken += end_writer(&w, begin_writer(&w, write_later));
	}
	assert_int_not_equal(taken, 0);
	expect(0, pci_give_back(EDU));
}

static bool is_free(void *arg)
{
	int group = vfio_group(EDU);
	bool is = group >= 0;

	(void)arg;
	close_fd(&group);
	return is;
}

/* VFIO does not stop the device, which is open still. */
static void killed_with_a_pin(void **state)
{
	struct writer w = { .bdf = EDU };
	unsigned int taken = 0;
	int i;

	(void)state;
	expect(0, pci_take(EDU));
	for (i = 0; i < 2; i++) {
		assert_int_equal(pipe(w.let_go), 0);
		taken += end_writer(&w, begin_writer(&w, pin_and_write_later));
		close(w.let_go[0]);
		close(w.let_go[1]);
		assert_true(wait_until(is_free, NULL));
	}
	assert_int_not_equal(taken, 0);
	expect(0, pci_give_back(EDU));
}

static bool has_nvme(void *arg)
{
	(void)arg;
	return !strcmp(pci_driver(HOT_DEV), "nvme");
}

/* It goes once the program is gone. */
static void unplugged_under_dma(void **state)
{
	unsigned long unplugs = parameter("life_unplugs=", 2), i;

	(void)state;
	for (i = 0; i < unplugs; i++) {
		struct writer w = { .bdf = HOT_DEV, .looks_up = i & 1, .pins = i & 1, .pins_first = i & 1 };
		pid_t pid;

		expect(0, pci_take(HOT_DEV));
		pid = begin_writer(&w, write_for_ever);
		expect(0, hot_unplug());
		usleep((useconds_t)(random() % 500000));
		end_writer(&w, pid);
		assert_true(wait_until(hot_is_gone, NULL));
		expect(0, count_entries("/sys/class/iommu"));
		assert_true(wait_until(hot_plug, NULL));
		assert_true(wait_until(has_nvme, NULL));
		if (i % 20 == 19)
			print_message("%lu of %lu unplugs\n", i + 1, unplugs);
	}
	print_message("%lu unplugs\n", unplugs);
}

/*
 * The racers: each does its thing again and again, and none minds what the others make fail. But it is to be
 * done now and then: they return whether it was.
 */
/* As something has just come: on a slow machine the others would hardly ever see it. */
static void let_others(unsigned int ms)
{
	usleep(ms * 1000);
}

static bool claims(void)
{
	int ret = flat_claim(EDU);

	return !flat_release(EDU) && !ret;
}

static bool binds(void)
{
	write_text("/sys/bus/pci/devices/" EDU "/driver_override", "vfio-pci");
	write_text("/sys/bus/pci/drivers_probe", EDU);
	let_others(20);
	return !write_text("/sys/bus/pci/drivers/vfio-pci/unbind", EDU);
}

static bool rescans(void)
{
	int ret = write_text("/sys/bus/pci/devices/" EDU "/remove", "1");

	ret = write_text("/sys/bus/pci/rescan", "1") || ret;
	let_others(200);
	return !ret;
}

static bool loads(void)
{
	int ret;

	/* A claim that others left keeps the module. */
	flat_release(EDU);
	ret = flat_unload();
	ret = module_load(MODULE_FILE, "") || ret;
	let_others(200);
	return !ret;
}

static bool opens(void)
{
	struct vfio_dev edu = VFIO_DEV_INIT;
	int container = vfio_container(), flat = flat_open();
	bool done = container >= 0 && !vfio_open(&edu, container, EDU);

	flat_state(flat, EDU);
	vfio_close(&edu);
	close_fd(&container);
	close_fd(&flat);
	return done;
}

static const struct racer {
	const char *name;
	bool (*step)(void);
} racers[] = {
	{ "claims", claims }, { "binds", binds }, { "removals", rescans }, { "loads", loads }, { "opens", opens },
};

static struct {
	unsigned long done[ARRAY_SIZE(racers)];	/* how often each has */
	bool over;
} volatile *shared;

static int race(void *arg)
{
	const struct racer *r = arg;

	srandom((unsigned int)getpid());
	/* Until it is killed, or the test was; or after the race, when it leaves room for those that have none yet. */
	while (getppid() != 1 && !(shared->over && shared->done[r - racers])) {
		shared->done[r - racers] += r->step();
		/* Now and then nobody is there, as the module needs to go. */
		let_others((unsigned int)random() % 30);
	}
	return 0;
}

static bool no_group(void *arg)
{
	(void)arg;
	return !count_entries("/sys/kernel/iommu_groups");
}

/* On a slow machine it may take longer than the time of the race. */
static bool each_has_done_one(void *arg)
{
	size_t i;

	(void)arg;
	for (i = 0; i < ARRAY_SIZE(racers); i++)
		if (!shared->done[i])
			return false;
	return true;
}

static void claims_race(void **state)
{
	unsigned long seconds = parameter("life_seconds=", 8);
	pid_t pids[ARRAY_SIZE(racers)];
	size_t i;

	cpu_set_t all;

	(void)state;
	memset(&all, 0xff, sizeof(all));
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	shared = mem_shared(1);
	assert_non_null(shared);
	for (i = 0; i < ARRAY_SIZE(racers); i++)
		pids[i] = expect_good(child_begin(race, (void *)&racers[i]));
	sleep((unsigned int)seconds);
	shared->over = true;
	wait_until(each_has_done_one, NULL);
	for (i = 0; i < ARRAY_SIZE(racers); i++) {
		kill(pids[i], SIGKILL);
		child_end(pids[i]);
		print_message("%lu %s\n", shared->done[i], racers[i].name);
	}
	for (i = 0; i < ARRAY_SIZE(racers); i++)
		assert_int_not_equal(shared->done[i], 0);
	mem_free((void *)shared, PAGE);
	if (!pci_is_there(EDU))
		expect(0, write_text("/sys/bus/pci/rescan", "1"));
	if (!module_is_loaded("flatiommu"))
		expect(0, flat_load());
	/* It still works. */
	pci_give_back(EDU);
	expect(0, pci_take(EDU));
	expect_good(pci_group(EDU));
	expect(0, pci_give_back(EDU));
	assert_true(wait_until(no_group, NULL));
	expect(0, count_entries("/sys/class/iommu"));
	assert_int_equal(pins(), pins_before);
	expect(0, flat_unload());
	expect(0, flat_load());
}

#define NVME_MAX 8

static void take_from_nvme(char (*nvme)[16])
{
	char path[128];
	int n;

	for (n = 0; n < NVME_MAX && !find_path("/sys/bus/pci/drivers/nvme/*:*", path, sizeof(path)); n++) {
		snprintf(nvme[n], sizeof(nvme[n]), "%s", last_part(path));
		expect(0, pci_unbind(nvme[n]));
	}
}

static void give_to_nvme(char (*nvme)[16])
{
	for (; **nvme; nvme++)
		expect(0, pci_bind_default(*nvme));
}

/* Suspend to idle, as far as the devices: the kernel wakes up by itself. */
static void sleeps_and_wakes(void **state)
{
	struct vfio_dev edu = VFIO_DEV_INIT;
	int container = -1, flat;
	char *pages = mem_pages(2), nvme[NVME_MAX + 1][16] = { "" };
	uint32_t pin;
	uint64_t bus;

	(void)state;
	assert_non_null(pages);
	if (access("/sys/power/pm_test", W_OK))
		skip_for("this kernel cannot be put to sleep");
	/* In 6.12 lockdep complains of how the kernel's driver goes to sleep. */
	take_from_nvme(nvme);
	expect(0, pci_take(EDU));
	flat = expect_good(flat_open());
	expect(0, vfio_open_alone(&edu, &container, EDU));
	expect(0, vfio_map_at_bus(container, pages, PAGE, &bus));
	expect(0, flat_pin(flat, EDU, pages + PAGE, PAGE, 0, &pin));
	fill(pages, PAGE, 3);
	expect(0, edu_load(edu.bar0, bus, EDU_COPY));
	expect(0, write_text("/sys/power/pm_test", "devices"));
	expect(0, write_text("/sys/power/state", "freeze"));
	expect(0, write_text("/sys/power/pm_test", "none"));
	give_to_nvme(nvme);
	assert_int_equal(pins(), pins_before + 2);
	assert_int_equal(bus_address(pages), bus);
	expect(1, vfio_bus_master(&edu));
	expect(0, edu_load(edu.bar0, bus, EDU_COPY));
	expect(0, edu_store(edu.bar0, flat_address_in_pin(flat, EDU, pin, 0), EDU_COPY));
	assert_true(is_filled(pages + PAGE, EDU_COPY, 3));
	vfio_close(&edu);
	close_fd(&container);
	close_fd(&flat);
	expect(0, pci_give_back(EDU));
	mem_free(pages, 2 * PAGE);
	assert_int_equal(pins(), pins_before);
}

static int begin(void **state)
{
	unsigned int seed = (unsigned int)parameter("life_seed=", (unsigned long)time(NULL));

	cpu_set_t first;

	(void)state;
	/* Pages that are given back on a processor are the next ones that are taken there. */
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	were = mem_shared(1);
	if (!were || sched_setaffinity(0, sizeof(first), &first))
		return -1;
	print_message("life_seed=%u\n", seed);
	srandom(seed);
	pins_before = pins();
	return flat_load();
}

static int end(void **state)
{
	(void)state;
	huge_pages(0);
	return flat_unload();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_under_dma),
		cmocka_unit_test(killed_before_dma),
		cmocka_unit_test(killed_with_a_pin),
		cmocka_unit_test(unplugged_under_dma),
		cmocka_unit_test(claims_race),
		cmocka_unit_test(sleeps_and_wakes),
	};

	return run_group(tests, begin, end);
}
