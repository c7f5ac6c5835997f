// SPDX-License-Identifier: MIT
/*
 * Programs that do not trust each other. A drives edu and has memory mapped and pinned for it. B
 * has CAP_SYS_RAWIO and /dev/flatiommu, and none of A's files. C has A's file of /dev/flatiommu,
 * and no capability. The table has a line for each thing that B or C could learn, stop or use up.
 * After each of them A goes on as before.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "caps.h"
#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "kmsg.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define KEY FLATIOMMU_LOOKUP_FIRST

static const char *const devices[] = { EDU, NULL };

/* A's. */
static struct vfio_dev edu = VFIO_DEV_INIT;
static int container = -1, flat = -1;
static char *looked_up, *strict, *pinned, *held;
static uint64_t strict_bus, held_bus;
static uint32_t pin;
static long pins_of_a;

/* B's, or the one that C has from A; and memory of both. */
static int own;
static char *page;

struct cell {
	const char *name;
	char who;
	int (*does)(void);
	int answer;
};

static int segments_of(uint32_t flags, uint64_t start)
{
	struct flatiommu_segment segment;

	if (flags & FLATIOMMU_LOOKUP_PIN)
		return flat_lookup_pin(own, EDU, pin, start, PAGE, &segment, 1);
	return flat_lookup(own, EDU, start, PAGE, &segment, 1);
}

static int declare(void)
{
	return flat_declare(own, EDU);
}

static int look_up_key(void)
{
	flat_declare(own, EDU);
	return segments_of(0, KEY);
}

static int look_up_strict(void)
{
	flat_declare(own, EDU);
	return segments_of(0, strict_bus);
}

static int look_up_pin(void)
{
	return segments_of(FLATIOMMU_LOOKUP_PIN, 0);
}

static int pin_own(void)
{
	uint32_t number;

	return flat_pin(own, EDU, page, PAGE, 0, &number);
}

static int pin_beyond_limit(void)
{
	uint32_t number;
	size_t i;
	int ret = 0;

	for (i = 0; i < 8192 && !ret; i++)
		ret = flat_pin(own, FN1, page, PAGE, 0, &number);
	return ret;
}

static int alloc_own(void)
{
	int fd = flat_alloc(own, EDU, PAGE, 32, -1, 0);

	return fd < 0 ? fd : 0;
}

static int alloc_beyond_limit(void)
{
	int ret = 0;
	size_t i;

	for (i = 0; i < 512 && ret >= 0; i++)
		ret = flat_alloc(own, FN1, 16 * PAGE, 32, -1, 0);
	return ret < 0 ? ret : 0;
}

static int unpin(void)
{
	return flat_unpin(own, pin);
}

static int state(void)
{
	return flat_state(own, EDU) & FLATIOMMU_STATE_DECLARED;
}

static int open_group(void)
{
	int fd = vfio_group(EDU);

	return fd < 0 ? fd : 0;
}

static int open_node(void)
{
	int fd = flat_open();

	return fd < 0 ? fd : 0;
}

static int read_refusals(void)
{
	char text[64];
	int ret = read_text(MISC "refusals", text, sizeof(text));

	return ret < 0 ? ret : 0;
}

static int release(void)
{
	return flat_release(EDU);
}

/* With the events of A's maps and pins, without their addresses. */
static int read_history(void)
{
	static struct flatiommu_event events[16];
	struct flatiommu_history arg = {
		.size = sizeof(arg),
		.function = flat_function(EDU),
		.nr_events = ARRAY_SIZE(events),
		.events = (uintptr_t)events,
	};
	int ret = flat_call(own, FLATIOMMU_HISTORY, &arg);
	bool mapped = false, was_pinned = false;
	unsigned int i;

	for (i = 0; !ret && i < arg.nr_events; i++) {
		mapped |= events[i].type == FLATIOMMU_EVENT_MAP && events[i].length;
		was_pinned |= events[i].type == FLATIOMMU_EVENT_PIN && events[i].length;
		if (events[i].at || events[i].address)
			ret = -EPROTO;
	}
	return ret || (mapped && was_pinned) ? ret : -ENODATA;
}

static int ask_who(void)
{
	struct flatiommu_event event;
	struct flatiommu_who arg = {
		.size = sizeof(arg),
		.nr_events = 1,
		.address = strict_bus,
		.length = PAGE,
		.events = (uintptr_t)&event,
	};

	return flat_call(own, FLATIOMMU_WHO, &arg);
}

static int say_quiet(void)
{
	struct flatiommu_quiet arg = { .size = sizeof(arg) };
	int ret = flat_call(own, FLATIOMMU_QUIET, &arg);

	return !ret && arg.out_length ? -EPROTO : ret;
}

static int claim(void)
{
	return flat_claim(FN1);
}

static int set_fence(void)
{
	return write_text(PARAMETERS "on_refusal", "fence");
}

static int set_auto(void)
{
	return write_text(PARAMETERS "auto", "N");
}

static int close_it(void)
{
	return close(own) ? -errno : 0;
}

static const struct cell cells[] = {
	{ "declares it", 'B', declare, 0 },
	{ "is not told what A looks up", 'B', look_up_key, -ENOENT },
	{ "is not told what A has mapped at its bus address", 'B', look_up_strict, -ENOENT },
	{ "is not told what A has pinned", 'B', look_up_pin, -ENOENT },
	{ "does not undo A's pin", 'B', unpin, -ENOENT },
	{ "has not declared what A has", 'B', state, 0 },
	{ "pins nothing for it, and so does not stop it", 'B', pin_own, -EPERM },
	{ "pins no more than it may", 'B', pin_beyond_limit, -ENOMEM },
	{ "has no memory for it, either", 'B', alloc_own, -EPERM },
	{ "has no more memory for another one than it may", 'B', alloc_beyond_limit, -ENOMEM },
	{ "does not have its group", 'B', open_group, -EBUSY },
	{ "does not release it", 'B', release, -EACCES },
	{ "reads no refusals", 'B', read_refusals, -EACCES },
	{ "reads that A has mapped and pinned, and not where", 'B', read_history, 0 },
	{ "is not told who had A's memory", 'B', ask_who, -EPERM },
	{ "gives back nothing of what A holds", 'B', say_quiet, 0 },
	{ "declares nothing with A's file", 'C', declare, -EPERM },
	{ "is not told what A looks up", 'C', look_up_key, -EPERM },
	{ "is not told what A has mapped at its bus address", 'C', look_up_strict, -EPERM },
	{ "is not told what A has pinned", 'C', look_up_pin, -EPERM },
	{ "pins nothing with A's file", 'C', pin_own, -EPERM },
	{ "has no memory with A's file", 'C', alloc_own, -EPERM },
	{ "does not undo A's pin", 'C', unpin, -EPERM },
	{ "may ask what edu is", 'C', state, FLATIOMMU_STATE_DECLARED },
	{ "opens no file of its own", 'C', open_node, -EPERM },
	{ "does not have its group", 'C', open_group, -EBUSY },
	{ "does not claim", 'C', claim, -EACCES },
	{ "does not release", 'C', release, -EACCES },
	{ "reads no refusals", 'C', read_refusals, -EACCES },
	{ "reads no history with A's file", 'C', read_history, -EPERM },
	{ "is not told who had A's memory", 'C', ask_who, -EPERM },
	{ "gives back nothing with A's file", 'C', say_quiet, -EPERM },
	{ "does not set what a refusal does", 'C', set_fence, -EACCES },
	{ "does not set who is claimed", 'C', set_auto, -EACCES },
	{ "ends nothing by closing A's file", 'C', close_it, 0 },
};

static int be_another(void *arg)
{
	const struct cell *c = arg;
	int ret = c->who == 'B' ? become_nobody_with(CAP_SYS_RAWIO) : become_nobody();

	page = mem_pages(1);
	own = c->who == 'B' ? flat_open() : flat;
	if (ret || !page || own < 0)
		return -ENOTRECOVERABLE;
	ret = c->does();
	/* The exit of a child has no room for what is no errno. */
	return ret == c->answer ? 0 : ret ? ret : -ENOMSG;
}

/* edu reads what is looked up, and writes it to what is pinned. */
static void expect_a_goes_on(void)
{
	expect(1, vfio_bus_master(&edu));
	assert_int_equal(pins(), pins_of_a);
	assert_int_equal(read_number(MISC "held"), PAGE);
	memset(pinned, 0, PAGE);
	expect(0, edu_load(edu.bar0, flat_address(flat, EDU, KEY), EDU_COPY));
	expect(0, edu_store(edu.bar0, flat_address_in_pin(flat, EDU, pin, 0), EDU_COPY));
	assert_true(is_filled(pinned, EDU_COPY, 1));
	assert_int_equal(flat_address(flat, EDU, strict_bus), strict_bus);
}

static void cell(void **state)
{
	const struct cell *c = *state;

	expect(0, in_child(be_another, (void *)c));
	expect_a_goes_on();
}

/* A itself is refused a map, at an address that it has from somewhere. Whoever reads the log is not told it. */
static void log_has_no_address(void **state)
{
	const char *line;
	char address[32];

	(void)state;
	snprintf(address, sizeof(address), "%llx", (unsigned long long)bus_address(pinned));
	expect(0, log_mark());
	expect(-EADDRNOTAVAIL, vfio_map(container, looked_up, bus_address(pinned), PAGE));
	line = log_lines("flatiommu", NULL);
	assert_non_null(strstr(line, "is refused a map"));
	assert_null(strstr(line, address));
	expect_a_goes_on();
}

static int begin(void **state)
{
	int ret = flat_load();

	(void)state;
	if (ret || write_text(PARAMETERS "history", "64") || write_text(PARAMETERS "on_unmap", "hold"))
		return -1;
	ret = pci_take(EDU);
	if (ret)
		return ret;
	ret = vfio_open_to_all(EDU);
	if (ret || chmod("/dev/flatiommu", 0666))
		return -1;
	looked_up = mem_pages(4);
	if (!looked_up)
		return -ENOMEM;
	strict = looked_up + PAGE;
	pinned = strict + PAGE;
	held = pinned + PAGE;
	fill(looked_up, PAGE, 1);
	ret = vfio_open_alone(&edu, &container, EDU);
	flat = flat_open();
	if (ret || flat < 0 || flat_declare(flat, EDU) || vfio_map(container, looked_up, KEY, PAGE) ||
	    vfio_map_at_bus(container, strict, PAGE, &strict_bus) ||
	    flat_pin(flat, EDU, pinned, PAGE, 0, &pin) ||
	    vfio_map_at_bus(container, held, PAGE, &held_bus) || vfio_unmap(container, held_bus, PAGE))
		return -1;
	pins_of_a = pins();
	return 0;
}

static int end(void **state)
{
	(void)state;
	vfio_close(&edu);
	close_fd(&container);
	close_fd(&flat);
	mem_free(looked_up, 4 * PAGE);
	return flat_end(devices);
}

int main(void)
{
	static char names[ARRAY_SIZE(cells)][96];
	struct CMUnitTest tests[ARRAY_SIZE(cells) + 1];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cells); i++) {
		snprintf(names[i], sizeof(names[i]), "%c %s", cells[i].who, cells[i].name);
		tests[i] = (struct CMUnitTest){ names[i], cell, NULL, NULL, (void *)&cells[i] };
	}
	tests[i] = (struct CMUnitTest)cmocka_unit_test(log_has_no_address);
	return run_group(tests, begin, end);
}
