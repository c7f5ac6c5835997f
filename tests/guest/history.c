// SPDX-License-Identifier: MIT
/*
 * The history of a function has each map, unmap, pin and stop with its process, also after the
 * program has died, and at most as many as it keeps. Programs without the privilege cannot read it.
 */
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "alone.h"
#include "caps.h"
#include "devices.h"
#include "devnode.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define KEPT 200
#define KEY FLATIOMMU_LOOKUP_FIRST
#define HISTORY PARAMETERS "history"

static struct flatiommu_event events[4 * KEPT];
static uint64_t first;	/* of the history of edu that a test has not read yet */

/* edu and FN1 with a history, TESTDEV without one. */
static int begin(void **state)
{
	int ret;

	(void)state;
	prctl(PR_SET_NAME, "history-test");
	ret = flat_load();
	if (!ret)
		ret = flat_claim(TESTDEV);
	if (!ret)
		ret = write_text(HISTORY, "200");
	if (!ret)
		ret = pci_take(EDU);
	return ret ? ret : pci_take(FN1);
}

static int end(void **state)
{
	(void)state;
	return flat_release(TESTDEV) || pci_give_back(EDU) || pci_give_back(FN1) || flat_unload();
}

/* Events from number *@from on, which is set behind them. How many, or -errno. */
static int read_events(int flat, const char *bdf, uint64_t *from, unsigned int room)
{
	struct flatiommu_history arg = {
		.size = sizeof(arg),
		.function = flat_function(bdf),
		.nr_events = room,
		.first = *from,
		.events = (uintptr_t)events,
	};
	int ret = flat_call(flat, FLATIOMMU_HISTORY, &arg);

	if (ret)
		return ret;
	*from = arg.first + arg.nr_events;
	return arg.nr_events > room || arg.out_size != KEPT ? -EPROTO : (int)arg.nr_events;
}

static int who(int flat, uint64_t address, uint64_t length, unsigned int room, struct flatiommu_who *arg)
{
	*arg = (struct flatiommu_who){
		.size = sizeof(*arg),
		.nr_events = room,
		.address = address,
		.length = length,
		.events = (uintptr_t)events,
	};
	return flat_call(flat, FLATIOMMU_WHO, arg);
}

/* The events since the last call. */
static int news(void)
{
	return read_events(alone.flat, EDU, &first, 4 * KEPT);
}

static int open_edu(void **state)
{
	int ret = alone_open_declared(state);

	return ret ? ret : news() < 0;
}

static uint64_t boot_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* An event of edu that this process has caused. */
static void expect_event(const struct flatiommu_event *e, uint32_t type, uint64_t at, uint64_t address,
			 uint64_t length)
{
	struct flatiommu_function edu = flat_function(EDU);

	assert_int_equal(e->type, type);
	assert_memory_equal(&e->function, &edu, sizeof(edu));
	assert_int_equal(e->pid, getpid());
	assert_string_equal(e->process, "history-test");
	assert_int_equal(e->at, at);
	assert_int_equal(e->address, address);
	assert_int_equal(e->length, length);
}

static void maps(void **state)
{
	char *page = mem_pages(1);
	uint64_t bus, before = boot_time();

	(void)state;
	expect(0, vfio_map_at_bus(alone.container, page, PAGE, &bus));
	expect(0, vfio_map(alone.container, page, KEY, PAGE));
	expect(0, vfio_unmap(alone.container, bus, PAGE));
	expect(0, vfio_unmap(alone.container, KEY, PAGE));
	expect(4, news());
	expect_event(&events[0], FLATIOMMU_EVENT_MAP, bus, bus, PAGE);
	expect_event(&events[1], FLATIOMMU_EVENT_MAP, KEY, bus, PAGE);
	expect_event(&events[2], FLATIOMMU_EVENT_UNMAP, bus, bus, PAGE);
	expect_event(&events[3], FLATIOMMU_EVENT_UNMAP, KEY, bus, PAGE);
	assert_true(before <= events[0].time && events[0].time < events[3].time &&
		    events[3].time <= boot_time());
	expect(0, news());
	mem_free(page, PAGE);
}

/* Each piece is an event, with the address that it had. */
static void pieces(void **state)
{
	enum { N = 32 };
	char *pages = mem_scattered(N);
	size_t i;

	(void)state;
	expect(0, vfio_map(alone.container, pages, KEY, N * PAGE));
	expect(N, news());
	for (i = 0; i < N; i++)
		expect_event(&events[i], FLATIOMMU_EVENT_MAP, KEY + i * PAGE,
			     bus_address(pages + i * PAGE), PAGE);
	expect(0, vfio_unmap(alone.container, KEY, N * PAGE));
	expect(N, news());
	for (i = 0; i < N; i++)
		expect_event(&events[i], FLATIOMMU_EVENT_UNMAP, KEY + i * PAGE,
			     bus_address(pages + i * PAGE), PAGE);
	mem_free(pages, N * PAGE);
}

static void refusal_and_fence(void **state)
{
	char *page = mem_pages(1);

	(void)state;
	expect(0, write_text(PARAMETERS "on_refusal", "fence"));
	expect(-EADDRNOTAVAIL, vfio_map(alone.container, page, PAGE, PAGE));
	expect(0, write_text(PARAMETERS "on_refusal", "warn"));
	expect(2, news());
	expect_event(&events[0], FLATIOMMU_EVENT_FENCE, 0, 0, 0);
	expect_event(&events[1], FLATIOMMU_EVENT_REFUSE, PAGE, bus_address(page), PAGE);
	/* It is stopped already. */
	expect(0, write_text(PARAMETERS "on_refusal", "fence"));
	expect(-EADDRNOTAVAIL, vfio_map(alone.container, page, PAGE, PAGE));
	expect(0, write_text(PARAMETERS "on_refusal", "warn"));
	expect(1, news());
	mem_free(page, PAGE);
}

static void pins_of_the_file(void **state)
{
	enum { N = 20 };
	char *pages = mem_scattered(N);
	uint32_t pin;
	size_t i;

	(void)state;
	/* Of a part of the first and the last page. */
	expect(0, flat_pin(alone.flat, EDU, pages + 5, (N - 1) * PAGE, 0, &pin));
	expect(N, news());
	for (i = 0; i < N; i++)
		expect_event(&events[i], FLATIOMMU_EVENT_PIN, (uintptr_t)pages + i * PAGE,
			     bus_address(pages + i * PAGE), PAGE);
	expect(0, flat_unpin(alone.flat, pin));
	expect(N + 1, news());
	expect_event(&events[0], FLATIOMMU_EVENT_STOP, 0, 0, 0);
	for (i = 0; i < N; i++)
		expect_event(&events[1 + i], FLATIOMMU_EVENT_UNPIN, (uintptr_t)pages + i * PAGE,
			     bus_address(pages + i * PAGE), PAGE);
	mem_free(pages, N * PAGE);
}

static void pins_of_the_domain(void **state)
{
	char *page = mem_pages(1);
	uint32_t pin, left;

	(void)state;
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, FLATIOMMU_PIN_VFIO, &pin));
	expect(0, flat_pin(alone.flat, EDU, page, PAGE, FLATIOMMU_PIN_VFIO, &left));
	expect(0, flat_unpin(alone.flat, pin));
	expect(3, news());
	expect_event(&events[1], FLATIOMMU_EVENT_PIN, (uintptr_t)page, bus_address(page), PAGE);
	expect_event(&events[2], FLATIOMMU_EVENT_UNPIN, (uintptr_t)page, bus_address(page), PAGE);
	/* The domain has ended, the file has the memory still. */
	vfio_close(&alone.edu);
	close_fd(&alone.container);
	expect(1, news());
	expect_event(&events[0], FLATIOMMU_EVENT_DETACH, 0, 0, 0);
	close_fd(&alone.flat);
	alone.flat = expect_good(flat_open());
	expect(1, news());
	expect_event(&events[0], FLATIOMMU_EVENT_UNPIN, (uintptr_t)page, bus_address(page), PAGE);
	mem_free(page, PAGE);
}

/* A pin of more pieces than are kept: the last ones, and it is known that others are lost. */
static void pin_of_many(void **state)
{
	enum { N = 3 * KEPT };
	char *pages = mem_scattered(N);
	struct flatiommu_who arg;
	uint64_t before = first;
	uint32_t pin;
	int i;

	(void)state;
	expect(0, flat_pin(alone.flat, EDU, pages, N * PAGE, 0, &pin));
	expect(KEPT, news());
	assert_true(first > before + KEPT);
	for (i = 0; i < KEPT; i++)
		assert_int_equal(events[i].address, bus_address(pages + (size_t)(N - KEPT + i) * PAGE));
	expect(0, who(alone.flat, 0, PAGE, 1, &arg));
	assert_int_equal(arg.out_since, events[0].time);
	expect(0, flat_unpin(alone.flat, pin));
	mem_free(pages, N * PAGE);
}

static uint64_t quiet(void)
{
	struct flatiommu_quiet arg = { .size = sizeof(arg) };

	expect(0, flat_call(alone.flat, FLATIOMMU_QUIET, &arg));
	return arg.out_length;
}

static int count_events(int from, int end, uint32_t type, uint64_t address)
{
	int n = 0;

	for (; from < end; from++)
		n += events[from].type == type && events[from].address == address;
	return n;
}

/* With on_unmap=hold an unmap or unpin is not the end. */
static void held_memory(void **state)
{
	char *pages = mem_scattered(2);
	uint64_t bus = bus_address(pages), other = bus_address(pages + PAGE);
	uint32_t pin, left;
	int i;

	(void)state;
	expect(0, write_text(PARAMETERS "on_unmap", "hold"));
	expect(0, vfio_map(alone.container, pages, KEY, 2 * PAGE));
	expect(0, vfio_unmap(alone.container, KEY, 2 * PAGE));
	/* The unmap is of both pages, or of one after the other. */
	expect(6, news());
	assert_int_equal(count_events(2, 6, FLATIOMMU_EVENT_UNMAP, bus), 1);
	assert_int_equal(count_events(2, 6, FLATIOMMU_EVENT_UNMAP, other), 1);
	assert_int_equal(count_events(3, 6, FLATIOMMU_EVENT_HOLD, bus), 1);
	assert_int_equal(count_events(3, 6, FLATIOMMU_EVENT_HOLD, other), 1);
	assert_int_equal(events[5].type, FLATIOMMU_EVENT_HOLD);
	assert_int_equal(quiet(), 2 * PAGE);
	expect(2, news());
	i = events[0].address == bus ? 0 : 1;
	expect_event(&events[i], FLATIOMMU_EVENT_RELEASE, KEY, bus, PAGE);
	expect_event(&events[!i], FLATIOMMU_EVENT_RELEASE, KEY + PAGE, other, PAGE);

	/* A pin of the file, and of the domain. */
	expect(0, flat_pin(alone.flat, EDU, pages, PAGE, 0, &left));
	for (i = 0; i < 2; i++) {
		expect(0, flat_pin(alone.flat, EDU, pages + PAGE, PAGE, i ? FLATIOMMU_PIN_VFIO : 0, &pin));
		expect_good(news());
		expect(0, flat_unpin(alone.flat, pin));
		expect(2, news());
		expect_event(&events[0], FLATIOMMU_EVENT_UNPIN, (uintptr_t)pages + PAGE, other, PAGE);
		expect_event(&events[1], FLATIOMMU_EVENT_HOLD, (uintptr_t)pages + PAGE, other, PAGE);
		assert_int_equal(quiet(), PAGE);
		expect(1, news());
		expect_event(&events[0], FLATIOMMU_EVENT_RELEASE, (uintptr_t)pages + PAGE, other, PAGE);
	}
	expect(0, flat_unpin(alone.flat, left));

	/* The end of the I/O address space. */
	expect(0, vfio_map(alone.container, pages, KEY, PAGE));
	expect(0, vfio_unmap(alone.container, KEY, PAGE));
	expect_good(news());
	vfio_close(&alone.edu);
	close_fd(&alone.container);
	expect(2, news());
	expect_event(&events[0], FLATIOMMU_EVENT_DETACH, 0, 0, 0);
	expect_event(&events[1], FLATIOMMU_EVENT_RELEASE, KEY, bus, PAGE);
	mem_free(pages, 2 * PAGE);
}

static int close_with_free(void **state)
{
	return alone_close(state) || write_text(PARAMETERS "on_unmap", "free");
}

static char *shared;

/* Opens edu, maps, and leaves all of it to its end. */
static int die(void *arg)
{
	struct vfio_dev edu = VFIO_DEV_INIT;
	int container = -1, flat, ret;

	(void)arg;
	prctl(PR_SET_NAME, "killed");
	ret = vfio_open_alone(&edu, &container, EDU);
	if (ret)
		return ret;
	flat = flat_open();
	ret = flat_declare(flat, EDU);
	return ret ? ret : vfio_map(container, shared, KEY, PAGE);
}

/* All that it had is given back after the function has left its I/O address space. */
static void survives_the_program(void **state)
{
	static const uint32_t order[] = {
		FLATIOMMU_EVENT_ATTACH, FLATIOMMU_EVENT_MAP, FLATIOMMU_EVENT_DETACH, FLATIOMMU_EVENT_UNMAP,
	};
	unsigned int i = 0;
	int status, n;
	pid_t pid;

	(void)state;
	vfio_close(&alone.edu);
	close_fd(&alone.container);
	expect_good(news());
	shared = mem_shared(1);
	shared[0] = 1;
	pid = child_begin(die, NULL);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	n = expect_good(news());
	assert_int_equal(n, ARRAY_SIZE(order));
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		assert_int_equal(events[i].type, order[i]);
		assert_int_equal(events[i].pid, pid);
		assert_string_equal(events[i].process, "killed");
	}
	assert_int_equal(events[3].address, bus_address(shared));
	munmap(shared, PAGE);
}

static void is_bounded(void **state)
{
	char *page = mem_pages(1);
	uint64_t from, begin = first;
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < KEPT; i++) {
		expect(0, vfio_map(alone.container, page, KEY + i * PAGE, PAGE));
		expect(0, vfio_unmap(alone.container, KEY + i * PAGE, PAGE));
	}
	from = begin;
	expect(KEPT, read_events(alone.flat, EDU, &from, 4 * KEPT));
	assert_int_equal(from, begin + 2 * KEPT);
	assert_int_equal(events[0].at, KEY + (size_t)KEPT / 2 * PAGE);
	/* In as many calls as it takes, it is the same. */
	from = begin;
	for (i = 0; (n = expect_good(read_events(alone.flat, EDU, &from, 70))); i += (size_t)n)
		assert_int_equal(events[n - 1].at, KEY + (KEPT + i + (size_t)n - 1) / 2 * PAGE);
	assert_int_equal(i, KEPT);
	from = ~0ull;
	expect(0, read_events(alone.flat, EDU, &from, 1));
	mem_free(page, PAGE);
}

static int flat_of_other = -1;

static int read_without_rawio(void *arg)
{
	int fd = flat_open(), ret = drop_capability(CAP_SYS_RAWIO);
	struct flatiommu_who w;
	uint64_t from = 0;

	(void)arg;
	if (!ret)
		ret = read_events(fd, EDU, &from, 1);
	return ret == -EPERM ? who(fd, 0, PAGE, 1, &w) : -EPROTO;
}

static int read_anothers_file(void *arg)
{
	struct flatiommu_who w;
	uint64_t from = 0;

	(void)arg;
	return read_events(flat_of_other, EDU, &from, 1) == -EPERM ? who(flat_of_other, 0, PAGE, 1, &w) : -EPROTO;
}

/* All but addresses. */
static int read_without_admin(void *arg)
{
	struct flatiommu_who w;
	uint64_t from = 0;
	int fd, i, n, lengths = 0;

	(void)arg;
	fd = become_nobody_with(CAP_SYS_RAWIO);
	if (!fd)
		fd = flat_open();
	n = fd < 0 ? fd : read_events(fd, EDU, &from, 4 * KEPT);
	if (n < 0)
		return n;
	for (i = 0; i < n; i++) {
		if (events[i].at || events[i].address)
			return -EXDEV;
		lengths += events[i].length == PAGE;
	}
	return lengths ? who(fd, 0, PAGE, 1, &w) : -EPROTO;
}

static void privilege(void **state)
{
	char *page = mem_pages(1);
	uint64_t bus;

	(void)state;
	expect(0, vfio_map_at_bus(alone.container, page, PAGE, &bus));
	flat_of_other = alone.flat;
	expect(-EPERM, in_child(read_without_rawio, NULL));
	expect(-EPERM, in_child(read_anothers_file, NULL));
	chmod("/dev/flatiommu", 0666);
	expect(-EPERM, in_child(read_without_admin, NULL));
	chmod("/dev/flatiommu", 0600);
	mem_free(page, PAGE);
}

/* Of whatever function, by the memory; of a refusal also by the IOVA. */
static void who_had_it(void **state)
{
	char *pages = mem_scattered(2);
	uint64_t bus = bus_address(pages), other = bus_address(pages + PAGE);
	struct flatiommu_who arg;
	uint32_t pin;

	(void)state;
	expect(0, vfio_map(alone.container, pages, KEY, 2 * PAGE));
	expect(0, vfio_unmap(alone.container, KEY, 2 * PAGE));
	expect(0, flat_pin(alone.flat, FN1, pages, PAGE, 0, &pin));
	expect(-EADDRNOTAVAIL, vfio_map(alone.container, pages + PAGE, bus, PAGE));
	expect(0, who(alone.flat, bus + 7, 1, KEPT, &arg));
	/* Earlier tests may have had these pages. */
	assert_true(arg.out_events >= 4 && arg.nr_events == arg.out_events);
	{
		struct flatiommu_function fn1 = flat_function(FN1);
		unsigned int i, of_edu = 0, of_fn1 = 0, refused = 0;

		for (i = 0; i < arg.nr_events; i++) {
			bool is_fn1 = !memcmp(&events[i].function, &fn1, sizeof(fn1));

			if (events[i].type == FLATIOMMU_EVENT_REFUSE) {
				refused += events[i].at == bus && events[i].address == other;
				continue;
			}
			assert_true(events[i].address <= bus &&
				    bus < events[i].address + events[i].length);
			of_fn1 += is_fn1 && events[i].type == FLATIOMMU_EVENT_PIN;
			of_edu += !is_fn1 && events[i].type == FLATIOMMU_EVENT_UNMAP;
		}
		assert_int_equal(refused, 1);
		assert_true(of_edu >= 1);
		assert_int_equal(of_fn1, 1);
	}
	/* More than there is room for. */
	expect(0, who(alone.flat, 0, 1ull << 50, 1, &arg));
	assert_int_equal(arg.nr_events, 1);
	assert_true(arg.out_events > 1);
	expect(0, who(alone.flat, 1ull << 50, 1, 1, &arg));
	assert_int_equal(arg.nr_events + arg.out_events, 0);
	expect(-EINVAL, who(alone.flat, ~0ull, 2, 1, &arg));
	expect(0, who(alone.flat, ~0ull, 1, 1, &arg));
	expect(-EINVAL, who(alone.flat, 0, 0, 1, &arg));
	expect(-EINVAL, who(alone.flat, 0, 1, 0, &arg));
	expect(0, flat_unpin(alone.flat, pin));
	mem_free(pages, 2 * PAGE);
}

/* What the program is told cannot be written. */
static void array_that_is_not_there(void **state)
{
	struct flatiommu_history arg = {
		.size = sizeof(arg),
		.function = flat_function(EDU),
		.nr_events = 1,
		.events = 8,
	};
	struct flatiommu_who w = {
		.size = sizeof(w),
		.nr_events = 1,
		.length = 1ull << 50,
		.events = 8,
	};
	char *page = mem_pages(1);
	uint64_t bus;

	(void)state;
	expect(0, vfio_map_at_bus(alone.container, page, PAGE, &bus));
	expect(-EFAULT, flat_call(alone.flat, FLATIOMMU_HISTORY, &arg));
	expect(-EFAULT, flat_call(alone.flat, FLATIOMMU_WHO, &w));
	arg.nr_events = 0;
	expect(-EINVAL, flat_call(alone.flat, FLATIOMMU_HISTORY, &arg));
	mem_free(page, PAGE);
}

static void of_no_claim(void **state)
{
	uint64_t from = 0;

	(void)state;
	expect(-ENODATA, read_events(alone.flat, TESTDEV, &from, 1));
	expect(-ENOENT, read_events(alone.flat, NVME, &from, 1));
	expect(-ENODEV, read_events(alone.flat, "0000:7f:1f.7", &from, 1));
}

/* A release forgets it, and the next claim begins anew. */
static void ends_with_the_claim(void **state)
{
	uint64_t from = 0;

	(void)state;
	alone_close(NULL);
	alone.flat = expect_good(flat_open());
	assert_true(read_events(alone.flat, EDU, &from, 1) == 1);
	expect(0, pci_unbind(EDU));
	from = 0;
	assert_true(read_events(alone.flat, EDU, &from, 1) == 1);
	expect(0, flat_release(EDU));
	expect(-ENOENT, read_events(alone.flat, EDU, &from, 1));
	expect(0, flat_claim(EDU));
	from = 0;
	expect(0, read_events(alone.flat, EDU, &from, 1));
	assert_int_equal(from, 0);
	expect(0, pci_bind(EDU, "vfio-pci"));
	first = 0;
}

static atomic_bool done;

static void *reader(void *arg)
{
	struct flatiommu_who w;
	uint64_t from;
	intptr_t bad = 0;
	int fd = flat_open();
	/* The array of the others is another thread's. */
	struct flatiommu_event mine[KEPT];

	(void)arg;
	while (!atomic_load(&done)) {
		struct flatiommu_history h = {
			.size = sizeof(h),
			.function = flat_function(EDU),
			.nr_events = KEPT,
			.events = (uintptr_t)mine,
		};
		int ret = flat_call(fd, FLATIOMMU_HISTORY, &h);

		bad |= ret && ret != -ENOENT;
		w = (struct flatiommu_who){
			.size = sizeof(w),
			.nr_events = KEPT,
			.length = 1ull << 50,
			.events = (uintptr_t)mine,
		};
		bad |= flat_call(fd, FLATIOMMU_WHO, &w) != 0;
		from = w.out_events;
		bad |= from > 2 * KEPT;
	}
	close(fd);
	return (void *)bad;
}

/* Claims end and maps come and go while others read. */
static void read_meanwhile(void **state)
{
	struct vfio_dev edu = VFIO_DEV_INIT;
	pthread_t threads[2];
	int container = -1;
	char *page = mem_pages(1);
	void *bad;
	size_t i, j;

	(void)state;
	alone_close(NULL);
	atomic_store(&done, false);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, NULL), 0);
	for (i = 0; i < 20; i++) {
		uint64_t bus;

		expect(0, vfio_open_alone(&edu, &container, EDU));
		for (j = 0; j < 50; j++) {
			expect(0, vfio_map_at_bus(container, page, PAGE, &bus));
			expect(0, vfio_unmap(container, bus, PAGE));
		}
		vfio_close(&edu);
		close_fd(&container);
		expect(0, pci_unbind(EDU));
		expect(0, flat_release(EDU));
		expect(0, flat_claim(EDU));
		expect(0, pci_bind(EDU, "vfio-pci"));
	}
	atomic_store(&done, true);
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
	mem_free(page, PAGE);
}

static int set_without_rawio(void *arg)
{
	int ret = drop_capability(CAP_SYS_RAWIO);

	(void)arg;
	return ret ? ret : write_text(HISTORY, "7");
}

static void parameter(void **state)
{
	(void)state;
	expect(-EINVAL, write_text(HISTORY, "1048577"));
	expect(-EINVAL, write_text(HISTORY, "many"));
	expect(-EPERM, in_child(set_without_rawio, NULL));
	assert_int_equal(read_number(HISTORY), KEPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(maps, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(pieces, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(refusal_and_fence, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(pins_of_the_file, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(pins_of_the_domain, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(held_memory, open_edu, close_with_free),
		cmocka_unit_test_setup_teardown(pin_of_many, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(survives_the_program, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(is_bounded, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(privilege, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(who_had_it, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(array_that_is_not_there, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(of_no_claim, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(ends_with_the_claim, open_edu, alone_close),
		cmocka_unit_test_setup_teardown(read_meanwhile, open_edu, alone_close),
		cmocka_unit_test(parameter),
	};

	return run_group(tests, begin, end);
}
