// SPDX-License-Identifier: MIT
/* Claim and release, a hundred times: each works, and nothing is left at the end. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices.h"
#include "edu.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define ROUNDS 100
#define SLAB "/sys/kernel/slab/flatiommu_extent"

static struct vfio_dev edu = VFIO_DEV_INIT;
static int container = -1;
static long pins_before, extents_before;

/*
 * Objects of the module's cache that are in use; -ENOENT when the kernel does not tell. A kernel
 * that merges caches counts those of others, too.
 */
static long extents(void)
{
	/* What a processor keeps for itself counts as used: first let it give that back. */
	int ret = write_text(SLAB "/shrink", "1");

	return ret ? ret : read_number(SLAB "/objects");
}

static int load(void **state)
{
	int ret = flat_load();

	(void)state;
	pins_before = pins();
	extents_before = extents();
	return ret || extents_before < 0 ? -1 : 0;
}

static int clean_up(void **state)
{
	(void)state;
	vfio_close(&edu);
	close_fd(&container);
	pci_give_back(EDU);
	/* The last test has done it, unless one has failed. */
	if (module_is_loaded("flatiommu"))
		flat_unload();
	return 0;
}

/* What is put into one page comes out of the other, through the device. */
static void copy_through_device(char *pages, uint32_t seed)
{
	uint64_t from, to;

	fill(pages, PAGE, seed);
	memset(pages + PAGE, 0, PAGE);
	expect(0, vfio_map_at_bus(container, pages, PAGE, &from));
	expect(0, vfio_map_at_bus(container, pages + PAGE, PAGE, &to));
	expect(0, edu_load(edu.bar0, from, EDU_COPY));
	expect(0, edu_store(edu.bar0, to, EDU_COPY));
	assert_true(is_filled(pages + PAGE, EDU_COPY, seed));
	expect(0, vfio_unmap(container, from, PAGE));
	expect(0, vfio_unmap(container, to, PAGE));
}

static void cycle(char *pages, uint32_t round)
{
	expect(0, flat_claim(EDU));
	expect(0, pci_bind(EDU, "vfio-pci"));
	container = expect_good(vfio_container());
	expect(0, vfio_open(&edu, container, EDU));
	expect(0, edu_identify(edu.bar0));
	expect(0, vfio_set_bus_master(&edu, true));
	copy_through_device(pages, round);
	vfio_close(&edu);
	close_fd(&container);
	expect(0, pci_unbind(EDU));
	expect(0, flat_release(EDU));
}

static void works_each_time(void **state)
{
	char *pages = mem_scattered(2);
	uint32_t round;

	(void)state;
	assert_non_null(pages);
	for (round = 1; round <= ROUNDS; round++)
		cycle(pages, round);
	expect(0, pci_bind_default(EDU));
	mem_free(pages, 2 * PAGE);
}

static void releases_its_pins(void **state)
{
	(void)state;
	assert_int_equal(pins(), pins_before);
}

static void frees_its_extents(void **state)
{
	(void)state;
	assert_int_equal(extents(), extents_before);
}

static int unbind(void *arg)
{
	(void)arg;
	/* Else it would wait for itself. */
	vfio_close(&edu);
	return pci_unbind(EDU);
}

static void on_signal(int number)
{
	(void)number;
}

/* What it waits for is the unbind, which has the device's lock. */
static int release_until_a_signal(void *arg)
{
	int ret;

	(void)arg;
	vfio_close(&edu);
	while ((ret = flat_release(EDU)) == -EBUSY)
		usleep(10000);
	return ret == -EINTR ? 0 : ret;
}

static bool ends_at_a_signal(void *arg)
{
	const pid_t *child = arg;
	siginfo_t info = { 0 };

	kill(*child, SIGUSR1);
	return !waitid(P_PID, (id_t)*child, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid == *child;
}

/* Somebody unbinds it, which takes as long as this program has it open. */
static void does_not_wait_for_ever(void **state)
{
	const struct sigaction action = { .sa_handler = on_signal };
	pid_t unbinds, releases;
	bool ended;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	expect(0, pci_take(EDU));
	expect(0, vfio_open_alone(&edu, &container, EDU));
	unbinds = expect_good(child_begin(unbind, NULL));
	releases = expect_good(child_begin(release_until_a_signal, NULL));
	ended = wait_until(ends_at_a_signal, &releases);
	vfio_close(&edu);
	close_fd(&container);
	expect(0, child_end(unbinds));
	expect(0, child_end(releases));
	assert_true(ended);
	expect(0, pci_give_back(EDU));
}

static void leaves_nothing_behind(void **state)
{
	(void)state;
	expect(0, flat_unload());
	expect(0, count_entries("/sys/kernel/iommu_groups"));
	expect(0, count_entries("/sys/class/iommu"));
	/* The container's node, no group's. */
	expect(1, count_entries("/dev/vfio"));
	assert_int_not_equal(access("/dev/flatiommu", F_OK), 0);
	assert_int_not_equal(access(MISC, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(works_each_time),
		cmocka_unit_test(releases_its_pins),
		cmocka_unit_test(frees_its_extents),
		cmocka_unit_test(does_not_wait_for_ever),
		cmocka_unit_test(leaves_nothing_behind),
	};

	return run_group(tests, load, clean_up);
}
