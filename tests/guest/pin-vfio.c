// SPDX-License-Identifier: MIT
/*
 * FLATIOMMU_PIN_VFIO: memory that is given back like memory that VFIO has mapped. It stays pinned
 * until VFIO has stopped the functions, in whatever order files are closed, and whichever process
 * has them. Neither the end of such a pin nor the close of its file stops a function.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alone.h"
#include "caps.h"
#include "cdev.h"
#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define PAGES ((size_t)64)

static const char *const devices[] = { EDU, FN1, NULL };

static char *pages;

static int begin(void **state)
{
	(void)state;
	pages = mem_scattered(PAGES);
	return pages ? flat_begin(devices) : -1;
}

static int end(void **state)
{
	(void)state;
	return flat_end(devices);
}

/* With @room segments, for up to two functions. */
static int pin_with(int flat, const char *const *bdfs, void *addr, size_t size, uint32_t flags,
		    struct flatiommu_segment *segments, unsigned int room, uint32_t *pin)
{
	struct flatiommu_function functions[2];
	struct flatiommu_pin arg = {
		.size = sizeof(arg),
		.flags = FLATIOMMU_PIN_VFIO | flags,
		.functions = (uintptr_t)functions,
		.vaddr = (uintptr_t)addr,
		.length = size,
		.nr_segments = room,
		.segments = (uintptr_t)segments,
	};
	int ret;

	while (bdfs[arg.nr_functions]) {
		functions[arg.nr_functions] = flat_function(bdfs[arg.nr_functions]);
		arg.nr_functions++;
	}
	ret = flat_call(flat, FLATIOMMU_PIN, &arg);
	if (!ret)
		*pin = arg.out_pin;
	return ret;
}

static const char *const edu_alone[] = { EDU, NULL };

static int pin_pages(uint32_t *pin)
{
	return pin_with(alone.flat, edu_alone, pages, PAGES * PAGE, 0, NULL, 0, pin);
}

/* The device writes where the call says that the last page is. */
static void expect_dma(const struct vfio_dev *dev, uint64_t bus)
{
	char *last = pages + (PAGES - 1) * PAGE;

	assert_int_equal(bus, bus_address(last));
	fill(last, EDU_COPY, 5);
	expect(0, edu_load(dev->bar0, bus, EDU_COPY));
	memset(last, 0, EDU_COPY);
	expect(0, edu_store(dev->bar0, bus, EDU_COPY));
	assert_true(is_filled(last, EDU_COPY, 5));
}

static uint64_t last_page(const char *bdf, uint32_t pin)
{
	return flat_address_in_pin(alone.flat, bdf, pin, (PAGES - 1) * PAGE);
}

static void unpin_stops_nothing(void **state)
{
	struct flatiommu_segment segments[PAGES + 1] = { 0 };
	unsigned int last = 0;
	uint32_t pin;

	(void)state;
	expect(0, pin_with(alone.flat, edu_alone, pages, PAGES * PAGE, 0, segments, PAGES, &pin));
	assert_int_equal(pins(), alone.pins_before + (long)PAGES);
	/* Pages that follow each other are one segment. */
	while (segments[last + 1].length)
		last++;
	assert_int_equal(segments[last].address + segments[last].length - PAGE, last_page(EDU, pin));
	expect_dma(&alone.edu, last_page(EDU, pin));
	expect(0, flat_unpin(alone.flat, pin));
	assert_int_equal(pins(), alone.pins_before);
	expect(1, vfio_bus_master(&alone.edu));
	expect(-ENOENT, flat_unpin(alone.flat, pin));
}

/* The order that a program's files would be closed in at its death, if it had opened this one first. */
static void file_is_closed_first(void **state)
{
	uint64_t bus;
	uint32_t pin;

	(void)state;
	expect(0, pin_pages(&pin));
	bus = last_page(EDU, pin);
	close_fd(&alone.flat);
	assert_int_equal(pins(), alone.pins_before + (long)PAGES);
	expect(1, vfio_bus_master(&alone.edu));
	expect_dma(&alone.edu, bus);
	vfio_close(&alone.edu);
	assert_int_equal(pins(), alone.pins_before);
}

/* The file has it still, and it is for nobody. */
static void device_is_closed_first(void **state)
{
	uint32_t pin, other;

	(void)state;
	expect(0, pin_pages(&pin));
	expect(0, pin_pages(&other));
	vfio_close(&alone.edu);
	assert_int_equal(pins(), alone.pins_before + 2 * (long)PAGES);
	assert_int_equal(last_page(EDU, pin), 0);
	expect(-EPERM, pin_pages(&(uint32_t){ 0 }));
	expect(0, flat_unpin(alone.flat, pin));
	assert_int_equal(pins(), alone.pins_before + (long)PAGES);
	/* Nor is it for the function when that is opened again. */
	expect(0, vfio_open(&alone.edu, alone.container, EDU));
	assert_int_equal(last_page(EDU, other), 0);
	close_fd(&alone.flat);
	assert_int_equal(pins(), alone.pins_before);
}

/* What shares the I/O address space is one of its functions, and holds the memory. */
static void another_joins(void **state)
{
	struct vfio_dev fn1 = VFIO_DEV_INIT;
	uint32_t pin;
	uint64_t bus;

	(void)state;
	expect(0, pin_pages(&pin));
	assert_int_equal(last_page(FN1, pin), 0);
	expect(0, flat_declare(alone.flat, FN1));
	expect(0, vfio_open(&fn1, alone.container, FN1));
	bus = last_page(FN1, pin);
	assert_int_equal(bus, last_page(EDU, pin));
	close_fd(&alone.flat);
	vfio_close(&alone.edu);
	assert_int_equal(pins(), alone.pins_before + (long)PAGES);
	expect(0, vfio_set_bus_master(&fn1, true));
	expect_dma(&fn1, bus);
	vfio_close(&fn1);
	assert_int_equal(pins(), alone.pins_before);
}

static void two_address_spaces(void **state)
{
	static const char *const both[] = { EDU, FN1, NULL };
	struct vfio_dev fn1 = VFIO_DEV_INIT;
	int container = expect_good(vfio_container());
	uint32_t pin;

	(void)state;
	expect(-ENODEV, pin_with(alone.flat, both, pages, PAGE, 0, NULL, 0, &pin));
	expect(0, flat_declare(alone.flat, FN1));
	expect(-EPERM, pin_with(alone.flat, both, pages, PAGE, 0, NULL, 0, &pin));
	expect(0, vfio_open(&fn1, container, FN1));
	expect(-ENOENT, pin_with(alone.flat, both, pages, PAGE, 0, NULL, 0, &pin));
	vfio_close(&fn1);
	expect(0, vfio_open(&fn1, alone.container, FN1));
	expect(0, pin_with(alone.flat, both, pages, PAGE, 0, NULL, 0, &pin));
	vfio_close(&fn1);
	close_fd(&container);
	expect(0, flat_unpin(alone.flat, pin));
	assert_int_equal(pins(), alone.pins_before);
}

static void each_kind_of_memory(void **state)
{
	char *kinds[3] = { mem_shared(PAGES), mem_transparent(), NULL };
	struct flatiommu_segment segment;
	uint32_t pin;
	size_t i;

	(void)state;
	expect(0, huge_pages(1));
	kinds[2] = mem_huge();
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t size = i ? HUGE_PAGE : PAGES * PAGE;

		if (!kinds[i])
			continue;
		expect(0, pin_with(alone.flat, edu_alone, kinds[i], size, 0, &segment, 1, &pin));
		assert_int_equal(segment.address, bus_address(kinds[i]));
		expect(0, edu_store(alone.edu.bar0, segment.address, EDU_COPY));
		expect(0, flat_unpin(alone.flat, pin));
		assert_int_equal(pins(), alone.pins_before);
		mem_free(kinds[i], size);
	}
	/* Nothing may be pinned that is not there, nor written to what may not be. */
	expect(-EFAULT, pin_with(alone.flat, edu_alone, (void *)PAGE, PAGE, 0, NULL, 0, &pin));
	assert_int_equal(pins(), alone.pins_before);
}

/* What was told may be known to the function by then: it is for the I/O address space to let it go. */
static void array_that_cannot_be_written(void **state)
{
	char *array = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct flatiommu_segment *last = (void *)(array + PAGE);
	uint32_t pin;

	(void)state;
	expect(0, munmap(array + PAGE, PAGE));
	expect(-EFAULT, pin_with(alone.flat, edu_alone, pages, PAGES * PAGE, 0, last - 3, PAGES, &pin));
	assert_int_equal(pins(), alone.pins_before + (long)PAGES);
	expect(1, vfio_bus_master(&alone.edu));
	vfio_close(&alone.edu);
	assert_int_equal(pins(), alone.pins_before);
	mem_free(array, PAGE);
}

/* Somebody who has the device, and may not pin for it. */
static int declare_and_pin(void *arg)
{
	uint32_t pin;
	int flat = flat_open(), ret = flat < 0 ? flat : flat_declare(flat, EDU);

	(void)arg;
	return ret ? ret : pin_with(flat, edu_alone, pages, PAGE, 0, NULL, 0, &pin);
}

static int pin_through_our_file(void *arg)
{
	(void)arg;
	return pin_pages(&(uint32_t){ 0 });
}

static void others_may_not(void **state)
{
	(void)state;
	expect(-EPERM, in_child(declare_and_pin, NULL));
	expect(-EPERM, in_child(pin_through_our_file, NULL));
	assert_int_equal(pins(), alone.pins_before);
}

/* The program that pins, and a child of it that has its files but this one. */
static int tell[2];

static int hold_device(void *arg)
{
	(void)arg;
	close_fd(&alone.flat);
	close(tell[0]);
	return pause();
}

static int pin_and_die(void *arg)
{
	char *memory = mem_scattered(PAGES);
	pid_t child;
	uint32_t pin;
	int ret;

	(void)arg;
	ret = memory ? alone_open_declared(NULL) : -ENOMEM;
	if (!ret)
		ret = pin_with(alone.flat, edu_alone, memory, PAGES * PAGE, 0, NULL, 0, &pin);
	if (ret)
		return ret;
	child = child_begin(hold_device, NULL);
	if (child < 0 || write(tell[1], &child, sizeof(child)) != sizeof(child))
		return -EPIPE;
	return pause();
}

static bool is_let_go(void *arg)
{
	return pins() == *(long *)arg;
}

static void child_has_the_device(void **state)
{
	long before = pins();
	pid_t pid, child;

	(void)state;
	assert_int_equal(pipe(tell), 0);
	pid = expect_good(child_begin(pin_and_die, NULL));
	close(tell[1]);
	assert_int_equal(read(tell[0], &child, sizeof(child)), sizeof(child));
	kill(pid, SIGKILL);
	expect(-EINTR, child_end(pid));
	usleep(100000);
	assert_int_equal(pins(), before + (long)PAGES);
	kill(child, SIGKILL);
	assert_true(wait_until(is_let_go, &before));
	close(tell[0]);
}

/* iommufd: DETACH stops the function, and ends the I/O address space. */
static void detached(void **state)
{
	struct vfio_dev edu = { .bdf = EDU, .group = -1, .fd = -1 };
	long before = pins();
	int iommufd, ioas, flat;
	char unsafe[8];
	uint32_t pin;

	(void)state;
	if (!cdev_is_there())
		skip_for("this kernel has no iommufd or no VFIO character devices");
	expect_good(read_text(IOMMUFD_UNSAFE, unsafe, sizeof(unsafe)));
	expect(0, write_text(IOMMUFD_UNSAFE, "1"));
	flat = expect_good(flat_open());
	expect(0, flat_declare(flat, EDU));
	iommufd = expect_good(iommufd_open());
	edu.fd = expect_good(cdev_open(EDU));
	expect_good(cdev_bind(edu.fd, iommufd));
	/* There is no I/O address space yet. */
	expect(-ENOENT, pin_with(flat, edu_alone, pages, PAGES * PAGE, 0, NULL, 0, &pin));
	ioas = expect_good(iommufd_alloc_ioas(iommufd));
	expect(0, cdev_attach(edu.fd, (uint32_t)ioas));
	expect(0, vfio_use_device(&edu));
	expect(0, vfio_set_bus_master(&edu, true));
	expect(0, pin_with(flat, edu_alone, pages, PAGES * PAGE, 0, NULL, 0, &pin));
	close_fd(&flat);
	assert_int_equal(pins(), before + (long)PAGES);
	expect(1, vfio_bus_master(&edu));
	expect(0, cdev_detach(edu.fd));
	expect(0, vfio_bus_master(&edu));
	assert_int_equal(pins(), before);
	vfio_close(&edu);
	close_fd(&iommufd);
	expect(0, write_text(IOMMUFD_UNSAFE, unsafe));
}

#define EDU_TEST(test) cmocka_unit_test_setup_teardown(test, alone_open_declared, alone_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EDU_TEST(unpin_stops_nothing),
		EDU_TEST(file_is_closed_first),
		EDU_TEST(device_is_closed_first),
		EDU_TEST(another_joins),
		EDU_TEST(two_address_spaces),
		EDU_TEST(each_kind_of_memory),
		EDU_TEST(array_that_cannot_be_written),
		EDU_TEST(others_may_not),
		cmocka_unit_test(child_has_the_device),
		cmocka_unit_test(detached),
	};

	return run_group(tests, begin, end);
}
