// SPDX-License-Identifier: MIT
/*
 * The machine sleeps, and only its memory stays powered: the functions lose their registers, and
 * the kernel restores config space. Mapped and pinned memory stays at its addresses.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devices.h"
#include "devnode.h"
#include "edu.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define ALARM "/sys/class/rtc/rtc0/wakealarm"
#define NVME_MAX 8

static const char *const devices[] = { EDU, NULL };

static char nvme[NVME_MAX + 1][16];

/* In 6.12 lockdep complains of how the kernel's driver of nvme goes to sleep. */
static int begin(void **state)
{
	char path[128];
	int n, ret = 0;

	(void)state;
	for (n = 0; !ret && n < NVME_MAX &&
	     !find_path("/sys/bus/pci/drivers/nvme/*:*", path, sizeof(path)); n++) {
		snprintf(nvme[n], sizeof(nvme[n]), "%s", last_part(path));
		ret = pci_unbind(nvme[n]);
	}
	return ret ? ret : flat_begin(devices);
}

static int end(void **state)
{
	int n, ret = flat_end(devices);

	(void)state;
	for (n = 0; !ret && nvme[n][0]; n++)
		ret = pci_bind_default(nvme[n]);
	return ret;
}

static void memory_stays(void **state)
{
	struct vfio_dev edu = VFIO_DEV_INIT;
	int container, flat;
	char *pages = mem_scattered(2), text[64];
	long before = pins();
	uint32_t pin;
	uint64_t bus;

	(void)state;
	assert_non_null(pages);
	if (read_text("/sys/power/mem_sleep", text, sizeof(text)) < 0 || !strstr(text, "deep") ||
	    access(ALARM, W_OK))
		skip_for("this kernel cannot be put to sleep, or has no clock to wake it up");
	flat = expect_good(flat_open());
	expect(0, vfio_open_alone(&edu, &container, EDU));
	expect(0, vfio_map_at_bus(container, pages, PAGE, &bus));
	expect(0, flat_pin(flat, EDU, pages + PAGE, PAGE, 0, &pin));
	expect(0, write_text("/sys/power/mem_sleep", "deep"));
	expect(0, write_text(ALARM, "0"));
	expect(0, write_text(ALARM, "+3"));
	expect(0, write_text("/sys/power/state", "mem"));

	assert_int_equal(pins(), before + 2);
	assert_int_equal(bus_address(pages), bus);
	assert_int_equal(flat_address_in_pin(flat, EDU, pin, 0), bus_address(pages + PAGE));
	expect(1, vfio_bus_master(&edu));
	fill(pages, PAGE, 3);
	expect(0, edu_load(edu.bar0, bus, EDU_COPY));
	expect(0, edu_store(edu.bar0, flat_address_in_pin(flat, EDU, pin, 0), EDU_COPY));
	assert_true(is_filled(pages + PAGE, EDU_COPY, 3));
	/* And it is stopped as ever. */
	expect(0, flat_unpin(flat, pin));
	expect(0, vfio_bus_master(&edu));
	vfio_close(&edu);
	close_fd(&container);
	close_fd(&flat);
	assert_int_equal(pins(), before);
	mem_free(pages, 2 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_stays),
	};

	return run_group(tests, begin, end);
}
