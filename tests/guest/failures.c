// SPDX-License-Identifier: MIT
/*
 * Each operation of the module is repeated. In each round the next one of its allocations and
 * copies fails, those of the kernel's functions included, until a round has no failure any more.
 * After a failure everything is given back, and the next attempt works. This needs the fault
 * injection of a debug kernel, fail-nth in Documentation/fault-injection/fault-injection.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cdev.h"
#include "devices.h"
#include "devnode.h"
#include "kmsg.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define PAGES		64
#define NOWHERE		FLATIOMMU_LOOKUP_FIRST
/* No thing that is asked here takes as many allocations. */
#define MAX_FAILURES	3000

/*
 * @ready is called before each attempt and leaves things as @act expects them, @undo after each one and
 * leaves them as they were before @ready, whatever @act has returned.
 */
struct thing {
	const char *name;
	void (*ready)(void);
	int (*act)(void);
	void (*undo)(int ret);
	int refused;		/* what works is that it fails so */
	bool others;		/* others allocate, too, whose failures are not all as they should be */
};

static struct vfio_dev edu = VFIO_DEV_INIT;
static int container = -1, flat = -1, iommufd = -1, ioas = -1, cdev = -1, fail_nth = -1;
static struct flatiommu_segment segments[PAGES];
static char *pages;
static uint64_t bus;
static uint32_t pin;

/* What nothing here may change. */
struct balance {
	long pins, locked, references, groups, iommus;
};

static struct balance balance(void)
{
	return (struct balance){
		.pins = pins(),
		.locked = status_kib("VmLck:") + status_kib("VmPin:"),
		.references = read_number("/sys/module/flatiommu/refcnt"),
		.groups = count_entries("/sys/kernel/iommu_groups"),
		.iommus = count_entries("/sys/class/iommu"),
	};
}

static void expect_balance(struct balance wanted)
{
	struct balance now = balance();

	assert_int_equal(now.pins, wanted.pins);
	assert_int_equal(now.locked, wanted.locked);
	assert_int_equal(now.references, wanted.references);
	assert_int_equal(now.groups, wanted.groups);
	assert_int_equal(now.iommus, wanted.iommus);
}

/* The @nth call from here on that can fail does, if there are as many. */
static void arm(unsigned int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", nth);

	assert_int_equal(pwrite(fail_nth, text, (size_t)length, 0), length);
}

/* Has one failed? To ask and to disarm are copies that can fail, too; then nothing has before. */
static bool disarm(void)
{
	char text[16] = "";
	bool failed = pread(fail_nth, text, sizeof(text) - 1, 0) > 0 && !strtol(text, NULL, 10);

	if (pwrite(fail_nth, "0", 1, 0) != 1)
		assert_int_equal(pwrite(fail_nth, "0", 1, 0), 1);
	return failed;
}

/*
 * From here on only calls fail that are made by a function between @start and @end; 0 and 0 is by any. False where
 * the kernel cannot tell.
 */
static bool fail_within(uint64_t start, uint64_t end)
{
	static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	char path[64], text[32];
	size_t i;

	for (i = 0; i < 2 * ARRAY_SIZE(kinds); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/require-%s", kinds[i / 2],
			 i % 2 ? "end" : "start");
		snprintf(text, sizeof(text), "%#llx",
			 (unsigned long long)(i % 2 ? end ? end : UINT64_MAX : start));
		if (write_text(path, text))
			return false;
	}
	return true;
}

/* The address of a function of the kernel, and of what follows it. */
static void find_function(const char *function, uint64_t *start, uint64_t *end)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	unsigned long long address;
	char name[128];

	*start = 0;
	*end = UINT64_MAX;
	assert_non_null(file);
	while (fscanf(file, "%llx %*c %127s%*[^\n]", &address, name) == 2)
		if (!strcmp(name, function))
			*start = address;
	rewind(file);
	while (fscanf(file, "%llx %*c %127s%*[^\n]", &address, name) == 2)
		if (address > *start && address < *end)
			*end = address;
	fclose(file);
	assert_int_not_equal(*start, 0);
}

/* Where the module's functions are. False where the kernel cannot tell whose failure one is. */
static bool fail_within_module(void)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	uint64_t start = UINT64_MAX, end = 0;
	unsigned long long address;
	char line[256], type;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (!strstr(line, "[flatiommu]") || sscanf(line, "%llx %c", &address, &type) != 2 ||
		    (type != 't' && type != 'T'))
			continue;
		if (address < start)
			start = address;
		if (address > end)
			end = address;
	}
	fclose(file);
	assert_true(start < end);
	return fail_within(start, end + PAGE);
}

static void attempt(const struct thing *t)
{
	int ret;

	if (t->ready)
		t->ready();
	ret = t->act();
	expect(t->refused, ret < 0 ? ret : 0);
	if (t->undo)
		t->undo(ret);
}

static void fails_at_each(const struct thing *t)
{
	struct balance before = balance();
	unsigned int nth, errors = 0;
	bool failed;
	int ret;

	for (nth = 1; nth < MAX_FAILURES; nth++) {
		if (t->ready)
			t->ready();
		arm(nth);
		ret = t->act();
		failed = disarm();
		errors += ret < 0;
		if (!failed)
			expect(t->refused, ret < 0 ? ret : 0);
		if (t->undo)
			t->undo(ret);
		expect_balance(before);
		if (!failed)
			break;
		attempt(t);
		expect_balance(before);
	}
	print_message("%s: %u failures, of which %u made it fail\n", t->name, nth - 1,
		      errors - (t->refused != 0));
	/* None at all is fault injection that does not work. */
	assert_true(nth >= 2 && nth < MAX_FAILURES);
}

#define fail_each(things) fail_all(things, ARRAY_SIZE(things))

static void fail_all(const struct thing *things, size_t count)
{
	bool whose = fail_within_module();
	size_t i;

	for (i = 0; i < count; i++)
		if (whose || !things[i].others)
			fails_at_each(&things[i]);
}

static void load(void)
{
	if (!module_is_loaded("flatiommu"))
		expect(0, module_load(MODULE_FILE, "history=16"));
}

static void unload(int ret)
{
	assert_int_equal(module_is_loaded("flatiommu"), !ret);
	if (!ret)
		expect(0, flat_unload());
}

static int act_load(void)
{
	return module_load(MODULE_FILE, "history=16");
}

static void unload_if_loaded(int ret)
{
	assert_int_equal(module_is_loaded("flatiommu"), ret != 0);
	if (ret)
		expect(0, flat_unload());
}

static void claim(void)
{
	expect(0, flat_claim(EDU));
}

static int act_claim(void)
{
	return flat_claim(EDU);
}

static void unclaim(int ret)
{
	if (!ret)
		expect(0, flat_release(EDU));
	else
		assert_true(flat_release(EDU) < 0);
}

static int act_claim_wc(void)
{
	return flat_claim(TESTDEV "/wc=2");
}

static void unclaim_wc(int ret)
{
	if (!ret)
		expect(0, flat_release(TESTDEV));
	else
		assert_true(flat_release(TESTDEV) < 0);
}

static int act_release(void)
{
	return flat_release(EDU);
}

static void release_if_claimed(int ret)
{
	if (ret)
		expect(0, flat_release(EDU));
}

static int act_bind(void)
{
	return pci_bind(EDU, "vfio-pci");
}

static void unbind_and_release(int ret)
{
	expect(0, pci_unbind(EDU));
	if (!ret || pci_group(EDU) >= 0)
		expect(0, flat_release(EDU));
}

static void bind(void)
{
	claim();
	expect(0, pci_bind(EDU, "vfio-pci"));
}

static int act_open(void)
{
	return vfio_open_alone(&edu, &container, EDU);
}

static void close_device(int ret)
{
	(void)ret;
	vfio_close(&edu);
	close_fd(&container);
}

static int act_open_file(void)
{
	flat = flat_open();
	return flat;
}

static void close_file(int ret)
{
	(void)ret;
	close_fd(&flat);
}

static int act_info(void)
{
	return flat_state(flat, EDU);
}

static void open_file(void)
{
	flat = expect_good(flat_open());
}

static int act_declare(void)
{
	return flat_declare(flat, EDU);
}

static void find_bus_address(void)
{
	bus = bus_address(pages);
	assert_int_not_equal(bus, 0);
}

static int act_map(void)
{
	return vfio_map(container, pages, bus, PAGE);
}

static void unmap(int ret)
{
	if (!ret)
		expect(0, vfio_unmap(container, bus, PAGE));
}

/* In a new I/O address space, where a map needs more than later ones. */
static void open_and_find(void)
{
	expect(0, act_open());
	find_bus_address();
}

static int act_refuse(void)
{
	return vfio_map(container, pages, NOWHERE, PAGE);
}

static int act_map_to_look_up(void)
{
	return vfio_map(container, pages, NOWHERE, PAGES * PAGE);
}

static void unmap_nowhere(int ret)
{
	if (!ret)
		expect(0, vfio_unmap(container, NOWHERE, PAGES * PAGE));
}

static void map_to_look_up(void)
{
	expect(0, vfio_map(container, pages, NOWHERE, PAGES * PAGE));
}

static int act_look_up(void)
{
	return flat_lookup(flat, EDU, NOWHERE, PAGES * PAGE, segments, PAGES);
}

static void unmap_looked_up(int ret)
{
	(void)ret;
	expect(0, vfio_unmap(container, NOWHERE, PAGES * PAGE));
}

static int act_pin(void)
{
	return flat_pin(flat, EDU, pages, PAGES * PAGE, 0, &pin);
}

static void unpin(int ret)
{
	if (!ret)
		expect(0, flat_unpin(flat, pin));
}

/* One that is not the file's first: where it is kept has to grow. */
static uint32_t first_pin;

static void take_first_pin(void)
{
	expect(0, flat_pin(flat, EDU, pages, PAGE, 0, &first_pin));
}

static void unpin_both(int ret)
{
	unpin(ret);
	expect(0, flat_unpin(flat, first_pin));
}

static void take_pin(void)
{
	expect(0, flat_pin(flat, EDU, pages, PAGES * PAGE, 0, &pin));
}

static int act_look_up_pin(void)
{
	return flat_lookup_pin(flat, EDU, pin, 0, PAGES * PAGE, segments, PAGES);
}

static void give_pin_back(int ret)
{
	(void)ret;
	expect(0, flat_unpin(flat, pin));
}

static int act_unpin(void)
{
	return flat_unpin(flat, pin);
}

static void unpin_if_pinned(int ret)
{
	if (ret)
		expect(0, flat_unpin(flat, pin));
}

static int act_history(void)
{
	struct flatiommu_event events[4];
	struct flatiommu_history arg = {
		.size = sizeof(arg),
		.function = flat_function(EDU),
		.nr_events = ARRAY_SIZE(events),
		.events = (uintptr_t)events,
	};

	return flat_call(flat, FLATIOMMU_HISTORY, &arg);
}

static int act_who(void)
{
	struct flatiommu_event events[4];
	struct flatiommu_who arg = {
		.size = sizeof(arg),
		.nr_events = ARRAY_SIZE(events),
		.length = ~0ull,
		.events = (uintptr_t)events,
	};

	return flat_call(flat, FLATIOMMU_WHO, &arg);
}

static int file = -1;

static int act_alloc(void)
{
	file = flat_alloc(flat, EDU, PAGES * PAGE, 32, -1, 0);
	return file < 0 ? file : 0;
}

/* What the allocator has not, a range is cleared for. */
static int act_alloc_narrow(void)
{
	file = flat_alloc(flat, EDU, PAGES * PAGE, 20, -1, 0);
	/* So low there may be none. */
	return file < 0 && file != -ERANGE ? file : 0;
}

static void close_memory(int ret)
{
	(void)ret;
	if (file >= 0)
		close(file);
	file = -1;
}

/* A program's way to a device through iommufd. */
static int act_attach(void)
{
	int id;

	iommufd = iommufd_open();
	if (iommufd < 0)
		return iommufd;
	ioas = iommufd_alloc_ioas(iommufd);
	if (ioas < 0)
		return ioas;
	cdev = cdev_open(EDU);
	if (cdev < 0)
		return cdev;
	id = cdev_bind(cdev, iommufd);
	return id < 0 ? id : cdev_attach(cdev, (uint32_t)ioas);
}

static void detach(int ret)
{
	(void)ret;
	close_fd(&cdev);
	close_fd(&iommufd);
}

static int act_iommufd_map(void)
{
	return iommufd_map(iommufd, (uint32_t)ioas, pages, bus, PAGE);
}

static void iommufd_let_go(int ret)
{
	if (!ret)
		expect(0, iommufd_unmap(iommufd, (uint32_t)ioas, bus, PAGE));
}

/*
 * As it is loaded, what fails is what the module's own functions ask for: the loader's and tracing's failures are the
 * kernel's. That there is no memory for a slab cache, the kernel thinks worth a trace: the harness is told not to
 * mind, and what else it looks for is looked for here.
 */
static void module_comes_and_goes(void **state)
{
	static const struct thing loads = { "load", NULL, act_load, unload, 0, false };
	static const struct thing unloads = { "unload", load, flat_unload, unload_if_loaded, 0, false };
	static const char *const bad[] = { "WARNING: ", "BUG: ", "ODEBUG", "UBSAN", "refcount_t", "Oops" };
	uint64_t start, end;
	size_t i;

	(void)state;
	find_function("do_one_initcall", &start, &end);
	if (!fail_within(start, end))
		skip_for("this kernel cannot make calls fail in one function only");
	expect(0, log_mark());
	expect_good(write_text("/dev/kmsg", "flatiommu-test: dump"));
	fails_at_each(&loads);
	expect_good(write_text("/dev/kmsg", "flatiommu-test: end of dump"));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(log_count(bad[i]), 0);
	assert_true(fail_within(0, 0));
	/* It allocates nothing by itself. */
	fails_at_each(&unloads);
}

static void claims(void **state)
{
	static const struct thing things[] = {
		{ "claim", NULL, act_claim, unclaim, 0, false },
		{ "claim with wc=", NULL, act_claim_wc, unclaim_wc, 0, false },
		{ "release", claim, act_release, release_if_claimed, 0, false },
		{ "claim as vfio-pci binds", NULL, act_bind, unbind_and_release, 0, true },
	};

	(void)state;
	load();
	fail_each(things);
}

static void maps(void **state)
{
	static const struct thing things[] = {
		{ "open the device", NULL, act_open, close_device, 0, true },
		{ "map first", open_and_find, act_map, close_device, 0, false },
	};
	static const struct thing opened[] = {
		{ "map", find_bus_address, act_map, unmap, 0, false },
		{ "refuse", NULL, act_refuse, NULL, -EADDRNOTAVAIL, false },
	};
	static const struct thing declared[] = {
		{ "map to look up", NULL, act_map_to_look_up, unmap_nowhere, 0, false },
		{ "look up", map_to_look_up, act_look_up, unmap_looked_up, 0, false },
	};

	(void)state;
	bind();
	fail_each(things);
	expect(0, act_open());
	fail_each(opened);
	open_file();
	expect(0, flat_declare(flat, EDU));
	fail_each(declared);
	close_device(0);
	close_file(0);
	unbind_and_release(0);
}

static void pins_work(void **state)
{
	static const struct thing things[] = {
		{ "open /dev/flatiommu", NULL, act_open_file, close_file, 0, false },
		{ "declare", open_file, act_declare, close_file, 0, false },
	};
	static const struct thing opened[] = {
		{ "ask", NULL, act_info, NULL, 0, false },
		{ "pin", NULL, act_pin, unpin, 0, false },
		{ "pin once more", take_first_pin, act_pin, unpin_both, 0, false },
		{ "look up in a pin", take_pin, act_look_up_pin, give_pin_back, 0, false },
		{ "unpin", take_pin, act_unpin, unpin_if_pinned, 0, false },
		{ "history", take_pin, act_history, give_pin_back, 0, false },
		{ "who", take_pin, act_who, give_pin_back, 0, false },
		{ "allocate", NULL, act_alloc, close_memory, 0, false },
		{ "allocate low memory", NULL, act_alloc_narrow, close_memory, 0, true },
	};

	(void)state;
	bind();
	fail_each(things);
	open_file();
	fail_each(opened);
	close_file(0);
	unbind_and_release(0);
}

/* Each allocation of this thread fails that fail_within() lets fail, or none. */
static void fail_always(bool on)
{
	expect(0, write_text("/sys/kernel/debug/failslab/task-filter", "Y"));
	expect(0, write_text("/sys/kernel/debug/failslab/times", "-1"));
	expect(0, write_text("/sys/kernel/debug/failslab/probability", on ? "100" : "0"));
	expect(0, write_text("/proc/thread-self/make-it-fail", on ? "1" : "0"));
}

/* The number of a pin takes memory that is asked for twice, so that one failure is none. */
static void pin_gets_no_number(void **state)
{
	struct balance before;
	uint64_t start, end;
	int ret;

	(void)state;
	find_function("__xa_alloc", &start, &end);
	if (!fail_within(start, end))
		skip_for("this kernel cannot make calls fail in one function only");
	bind();
	open_file();
	before = balance();
	fail_always(true);
	ret = act_pin();
	fail_always(false);
	expect(-ENOMEM, ret);
	expect_balance(before);
	expect(0, act_pin());
	unpin(0);
	expect_balance(before);
	close_file(0);
	unbind_and_release(0);
}

/* A program may go on after a map that failed, as after one that was refused. */
static void failed_map_is_fenced(void **state)
{
	unsigned int nth, fenced = 0;
	bool failed = true;
	int ret;

	(void)state;
	if (!fail_within_module())
		skip_for("this kernel cannot make calls fail in one module only");
	bind();
	expect(0, act_open());
	expect(0, write_text(PARAMETERS "on_refusal", "fence"));
	for (nth = 1; failed && nth < MAX_FAILURES; nth++) {
		find_bus_address();
		expect(0, vfio_set_bus_master(&edu, true));
		arm(nth);
		ret = act_map();
		failed = disarm();
		/* Some failures it can do without. */
		expect(!ret, vfio_bus_master(&edu));
		expect(ret ? -ENOMEM : 0, ret);
		unmap(ret);
		fenced += ret != 0;
	}
	assert_false(failed);
	assert_int_not_equal(fenced, 0);
	expect(0, write_text(PARAMETERS "on_refusal", "warn"));
	close_device(0);
	unbind_and_release(0);
}

static void iommufd_works(void **state)
{
	static const struct thing things[] = {
		{ "attach to iommufd", NULL, act_attach, detach, 0, true },
	};
	static const struct thing attached[] = {
		{ "map by iommufd", find_bus_address, act_iommufd_map, iommufd_let_go, 0, false },
	};
	char before[8];

	(void)state;
	if (!cdev_is_there())
		skip_for("this kernel has no iommufd");
	assert_true(read_text(IOMMUFD_UNSAFE, before, sizeof(before)) > 0);
	expect(0, write_text(IOMMUFD_UNSAFE, "1"));
	bind();
	fail_each(things);
	expect_good(act_attach());
	fail_each(attached);
	detach(0);
	unbind_and_release(0);
	expect(0, write_text(IOMMUFD_UNSAFE, before));
}

static int begin(void **state)
{
	(void)state;
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_nth < 0)
		skip_all("this kernel has no fault injection");
	pages = mem_scattered(PAGES);
	if (!pages || module_probe("vfio_iommu_type1") || module_probe("vfio-pci"))
		return -1;
	module_probe("iommufd");
	/* Nothing of its own in the kernel log; allocations that may wait fail, too, and those of single pages. */
	if (write_text("/sys/kernel/debug/failslab/verbose", "0") ||
	    write_text("/sys/kernel/debug/failslab/ignore-gfp-wait", "N") ||
	    write_text("/sys/kernel/debug/fail_page_alloc/verbose", "0") ||
	    write_text("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N") ||
	    write_text("/sys/kernel/debug/fail_page_alloc/min-order", "0") ||
	    write_text("/sys/kernel/debug/fail_usercopy/verbose", "0"))
		return -1;
	return 0;
}

static int end(void **state)
{
	(void)state;
	close_device(0);
	close_file(0);
	detach(0);
	pci_give_back(EDU);
	pci_give_back(TESTDEV);
	return module_is_loaded("flatiommu") ? flat_unload() : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(module_comes_and_goes),
		cmocka_unit_test(claims),
		cmocka_unit_test(maps),
		cmocka_unit_test(pins_work),
		cmocka_unit_test(pin_gets_no_number),
		cmocka_unit_test(failed_map_is_fenced),
		cmocka_unit_test(iommufd_works),
	};

	return run_group(tests, begin, end);
}
