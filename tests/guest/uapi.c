// SPDX-License-Identifier: MIT
/* The conventions of /dev/flatiommu, its INFO, and the privilege to open it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calls.h"
#include "caps.h"
#include "devices.h"
#include "devnode.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

static int flat = -1;

static int begin(void **state)
{
	(void)state;
	if (flat_load() || write_text(PARAMETERS "history", "16") || pci_take(EDU))
		return -1;
	flat = flat_open();
	return flat < 0 ? flat : 0;
}

static int end(void **state)
{
	(void)state;
	close_fd(&flat);
	return pci_give_back(EDU) || flat_unload() ? -1 : 0;
}

static struct flatiommu_function edu;
static char *page;
static union {
	struct flatiommu_segment segment;
	struct flatiommu_event event;
} written;

static union call_argument good(unsigned long number)
{
	return call_argument(number, &edu, page, &written);
}

/* The memory that it may have got is no matter. */
static int make_call(const struct call *call, union call_argument *arg)
{
	int ret = flat_call(flat, call->number, arg);

	if (!ret && call->number == FLATIOMMU_ALLOC)
		close(arg->alloc.out_fd);
	return ret;
}

static void sizes(void **state)
{
	union call_argument arg;
	const struct call *call;

	(void)state;
	for_each_call(call) {
		arg = good(call->number);
		expect(call->result, make_call(call, &arg));
		/* A program that is older, and one that is older than there were any. */
		arg = good(call->number);
		arg.size = call->first_size;
		expect(call->result, make_call(call, &arg));
		assert_int_equal(arg.size, call->first_size);
		arg = good(call->number);
		arg.size = call->first_size - 1;
		expect(-EINVAL, flat_call(flat, call->number, &arg));
		arg.size = 0;
		expect(-EINVAL, flat_call(flat, call->number, &arg));

		/* A program that is newer than the module. */
		arg = good(call->number);
		arg.size = call->size + 64;
		expect(call->result, make_call(call, &arg));
		assert_int_equal(arg.size, call->size + 64);
		arg = good(call->number);
		arg.size = call->size + 64;
		arg.bytes[call->size + 63] = 1;
		expect(-E2BIG, flat_call(flat, call->number, &arg));
		arg = good(call->number);
		arg.size = ~0u;
		expect(-E2BIG, flat_call(flat, call->number, &arg) == -EFAULT ? -E2BIG :
		       flat_call(flat, call->number, &arg));
	}
}

static void flags(void **state)
{
	union call_argument arg;
	const struct call *call;

	(void)state;
	for_each_call(call) {
		if (!call->has_flags)
			continue;
		arg = good(call->number);
		arg.info.flags |= 1u << 31;
		expect(-EOPNOTSUPP, flat_call(flat, call->number, &arg));
	}
	arg = good(FLATIOMMU_INFO);
	arg.info.flags |= FLATIOMMU_INFO_GROUP;
	expect(-EINVAL, flat_call(flat, FLATIOMMU_INFO, &arg));
}

static void reserved_members(void **state)
{
	struct flatiommu_function function = edu;
	union call_argument arg;

	(void)state;
	arg = good(FLATIOMMU_INFO);
	arg.info.function.reserved = 1;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_INFO, &arg));
	arg = good(FLATIOMMU_DECLARE);
	arg.declare.reserved = 1;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_DECLARE, &arg));
	function.reserved = 1;
	arg = good(FLATIOMMU_DECLARE);
	arg.declare.functions = (uintptr_t)&function;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_DECLARE, &arg));
	arg = good(FLATIOMMU_LOOKUP);
	arg.lookup.function.reserved = 1;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_LOOKUP, &arg));
	/* It is not looked at without the flag. */
	arg = good(FLATIOMMU_LOOKUP);
	arg.lookup.pin = 1;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_LOOKUP, &arg));
	arg = good(FLATIOMMU_PIN);
	arg.pin.reserved = 1;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_PIN, &arg));
	arg = good(FLATIOMMU_PIN);
	arg.pin.reserved_2 = 1;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_PIN, &arg));
	arg = good(FLATIOMMU_PIN);
	arg.pin.dmabuf = 1;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_PIN, &arg));
	arg = good(FLATIOMMU_PIN);
	arg.pin.functions = (uintptr_t)&function;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_PIN, &arg));
	arg = good(FLATIOMMU_ALLOC);
	arg.alloc.reserved = 1;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_ALLOC, &arg));
	arg = good(FLATIOMMU_ALLOC);
	arg.alloc.function = function;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_ALLOC, &arg));
	arg = good(FLATIOMMU_HISTORY);
	arg.history.function = function;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_HISTORY, &arg));
	arg = good(FLATIOMMU_WHO);
	arg.who.reserved = 1;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_WHO, &arg));
	arg = good(FLATIOMMU_QUIET);
	arg.quiet.reserved = 1;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_QUIET, &arg));
	arg = good(FLATIOMMU_QUIET);
	arg.quiet.nr_functions = 1;
	arg.quiet.functions = (uintptr_t)&function;
	expect(-EOPNOTSUPP, flat_call(flat, FLATIOMMU_QUIET, &arg));
}

static void no_such_call(void **state)
{
	union call_argument arg = good(FLATIOMMU_INFO);

	(void)state;
	expect(-ENOTTY, flat_call(flat, _IO(FLATIOMMU_TYPE, 0x7f), &arg));
	/* Of another file. */
	expect(-ENOTTY, flat_call(flat, FLATIOMMU_BUFFER, &arg));
	/* After the last one. */
	expect(-ENOTTY, flat_call(flat, calls[nr_calls - 1].number + 1, &arg));
	expect(-ENOTTY, flat_call(flat, _IO(';', 0x80), &arg));
	expect(-ENOTTY, flat_call(flat, _IOWR(FLATIOMMU_TYPE, 0x80, struct flatiommu_info), &arg));
}

static void arguments_that_are_not_there(void **state)
{
	char *nothing = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long before = pins();
	union call_argument arg;
	const struct call *call;
	int files = count_entries("/proc/self/fd");

	(void)state;
	munmap(nothing + PAGE, PAGE);
	for_each_call(call) {
		expect(-EFAULT, flat_call(flat, call->number, NULL));
		/* Only the size is there. */
		arg = good(call->number);
		memcpy(nothing + PAGE - 4, &arg, 4);
		expect(-EFAULT, flat_call(flat, call->number, nothing + PAGE - 4));
		if (call->result)
			continue;
		/* It cannot be written. */
		memcpy(nothing, &arg, call->size);
		mprotect(nothing, PAGE, PROT_READ);
		expect(call->is_written ? -EFAULT : 0,
		       flat_call(flat, call->number, nothing));
		mprotect(nothing, PAGE, PROT_READ | PROT_WRITE);
	}
	assert_int_equal(pins(), before);
	/* A file that nobody was told of is none. */
	assert_int_equal(count_entries("/proc/self/fd"), files);
	arg = good(FLATIOMMU_DECLARE);
	arg.declare.functions = 8;
	expect(-EFAULT, flat_call(flat, FLATIOMMU_DECLARE, &arg));
	arg = good(FLATIOMMU_PIN);
	arg.pin.functions = 8;
	expect(-EFAULT, flat_call(flat, FLATIOMMU_PIN, &arg));

	/* A pin's addresses, to an array that cannot be written. */
	arg = good(FLATIOMMU_PIN);
	expect(0, flat_call(flat, FLATIOMMU_PIN, &arg));
	{
		union call_argument lookup = good(FLATIOMMU_LOOKUP);

		lookup.lookup.flags = FLATIOMMU_LOOKUP_PIN;
		lookup.lookup.pin = arg.pin.out_pin;
		lookup.lookup.start = 0;
		lookup.lookup.segments = 8;
		expect(-EFAULT, flat_call(flat, FLATIOMMU_LOOKUP, &lookup));
		lookup.lookup.segments = (uintptr_t)&written;
		expect(0, flat_call(flat, FLATIOMMU_LOOKUP, &lookup));
	}
	expect(0, flat_unpin(flat, arg.pin.out_pin));
	munmap(nothing, PAGE);
	assert_int_equal(pins(), before);
}

static void lists_of_functions(void **state)
{
	struct flatiommu_function list[FLATIOMMU_MAX_FUNCTIONS + 1];
	const struct call *call;
	union call_argument arg;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(list); i++)
		list[i] = edu;
	for_each_call(call) {
		struct { uint32_t size, flags, count; } *head = (void *)&arg;

		if (call->number != FLATIOMMU_DECLARE && call->number != FLATIOMMU_PIN)
			continue;
		arg = good(call->number);
		head->count = 0;
		expect(-EINVAL, flat_call(flat, call->number, &arg));
		head->count = FLATIOMMU_MAX_FUNCTIONS + 1;
		expect(-EINVAL, flat_call(flat, call->number, &arg));
		arg.declare.functions = (uintptr_t)list;
		if (call->number == FLATIOMMU_PIN)
			arg.pin.functions = (uintptr_t)list;
		head->count = FLATIOMMU_MAX_FUNCTIONS;
		expect(0, flat_call(flat, call->number, &arg));
		if (call->number == FLATIOMMU_PIN)
			expect(0, flat_unpin(flat, arg.pin.out_pin));
	}
	/* One that is not there, among others; nothing is declared then. */
	list[3].devfn = 0xff;
	arg = good(FLATIOMMU_DECLARE);
	arg.declare.nr_functions = 5;
	arg.declare.functions = (uintptr_t)list;
	expect(-ENODEV, flat_call(flat, FLATIOMMU_DECLARE, &arg));
	list[3] = flat_function(TESTDEV);
	close_fd(&flat);
	flat = expect_good(flat_open());
	expect(-ENOENT, flat_call(flat, FLATIOMMU_DECLARE, &arg));
	assert_int_equal(flat_state(flat, EDU) & FLATIOMMU_STATE_DECLARED, 0);
	list[3].segment = ~0u;
	expect(-ENODEV, flat_call(flat, FLATIOMMU_DECLARE, &arg));
}

static void lookups(void **state)
{
	union call_argument arg;

	(void)state;
	expect(0, flat_declare(flat, EDU));
	arg = good(FLATIOMMU_LOOKUP);
	arg.lookup.length = 0;
	expect(-EINVAL, flat_call(flat, FLATIOMMU_LOOKUP, &arg));
	arg = good(FLATIOMMU_LOOKUP);
	arg.lookup.nr_segments = 0;
	expect(-EINVAL, flat_call(flat, FLATIOMMU_LOOKUP, &arg));
	arg = good(FLATIOMMU_LOOKUP);
	arg.lookup.length = ~0ull;
	expect(-EINVAL, flat_call(flat, FLATIOMMU_LOOKUP, &arg));
	arg = good(FLATIOMMU_LOOKUP);
	arg.lookup.function = flat_function(TESTDEV);
	expect(-ENODEV, flat_call(flat, FLATIOMMU_LOOKUP, &arg));
	arg = good(FLATIOMMU_LOOKUP);
	arg.lookup.flags = FLATIOMMU_LOOKUP_PIN;
	arg.lookup.pin = 77;
	expect(-ENOENT, flat_call(flat, FLATIOMMU_LOOKUP, &arg));
}

static void info(void **state)
{
	union call_argument arg = good(FLATIOMMU_INFO);
	int edu_group = pci_group(EDU);

	(void)state;
	arg.info.flags = 0;
	expect(0, flat_call(flat, FLATIOMMU_INFO, &arg));
	assert_int_equal(arg.info.out_version, FLATIOMMU_VERSION);
	assert_int_equal(arg.info.out_state, 0);
	assert_int_equal(arg.info.out_wc_bars, 0);
	assert_int_equal(arg.info.group, -1);
	/* What a program leaves in what is written does not matter. */
	arg = good(FLATIOMMU_INFO);
	arg.info.out_version = ~0u;
	arg.info.out_state = ~0u;
	arg.info.out_wc_bars = ~0u;
	expect(0, flat_call(flat, FLATIOMMU_INFO, &arg));
	assert_int_equal(arg.info.out_version, FLATIOMMU_VERSION);
	assert_int_equal(arg.info.out_wc_bars, 0);
	assert_int_equal(arg.info.group, edu_group);
	assert_int_equal(arg.info.out_state & ~FLATIOMMU_STATE_DECLARED,
			 FLATIOMMU_STATE_BUS_ADDRESSES | FLATIOMMU_STATE_CLAIMED);
	arg = good(FLATIOMMU_INFO);
	arg.info.flags = FLATIOMMU_INFO_GROUP;
	arg.info.group = edu_group;
	arg.info.function = (struct flatiommu_function){ 0 };
	expect(0, flat_call(flat, FLATIOMMU_INFO, &arg));
	assert_memory_equal(&arg.info.function, &edu, sizeof(edu));
	arg.info.group = 999;
	expect(-ENOENT, flat_call(flat, FLATIOMMU_INFO, &arg));
	arg.info.group = -1;
	expect(-ENOENT, flat_call(flat, FLATIOMMU_INFO, &arg));
	expect(FLATIOMMU_STATE_BUS_ADDRESSES, flat_state(flat, TESTDEV));
	expect(-ENODEV, flat_state(flat, "0000:7f:1f.7"));
}

static int open_without_rawio(void *arg)
{
	int ret = drop_capability(CAP_SYS_RAWIO);

	(void)arg;
	return ret ? ret : flat_open();
}

static int open_as_nobody(void *arg)
{
	int ret = become_nobody();

	(void)arg;
	return ret ? ret : flat_open();
}

/* pagemap answers 0 then, silently. */
static int work_without_admin(void *arg)
{
	struct flatiommu_segment s;
	uint64_t real;
	uint32_t pin;
	int fd, ret;

	(void)arg;
	page[0] = 1;
	real = bus_address(page);
	ret = become_nobody_with(CAP_SYS_RAWIO);
	if (ret)
		return ret;
	fd = flat_open();
	if (fd < 0)
		return fd;
	if (bus_address(page))
		return -EXDEV;
	ret = flat_declare(fd, EDU);
	if (!ret)
		ret = flat_pin(fd, EDU, page, PAGE, 0, &pin);
	if (ret)
		return ret;
	ret = flat_lookup_pin(fd, EDU, pin, 0, PAGE, &s, 1);
	if (ret != 1)
		return -EIO;
	return s.address == real ? 0 : -ERANGE;
}

static void privilege(void **state)
{
	(void)state;
	chmod("/dev/flatiommu", 0666);
	expect(-EPERM, in_child(open_without_rawio, NULL));
	expect(-EPERM, in_child(open_as_nobody, NULL));
	/* The page is a child's, too, so that its address is known here. */
	expect(0, in_child(work_without_admin, NULL));
	chmod("/dev/flatiommu", 0600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(flags),
		cmocka_unit_test(reserved_members),
		cmocka_unit_test(no_such_call),
		cmocka_unit_test(arguments_that_are_not_there),
		cmocka_unit_test(lists_of_functions),
		cmocka_unit_test(lookups),
		cmocka_unit_test(info),
		cmocka_unit_test(privilege),
	};

	edu = flat_function(EDU);
	page = mem_shared(1);
	return run_group(tests, begin, end);
}
