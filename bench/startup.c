// SPDX-License-Identifier: MIT
/*
 * The cost of the steps before the first transfer, and of a map when there are many already.
 * Microseconds.
 *
 *	claim		one function
 *	bind		to vfio-pci
 *	open		container, group, type1, device
 *	map		1 GiB in one huge page, in look-up mode
 *
 *	map, unmap	one page at its bus address, when SIZE pages are mapped; the mean of a thousand
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "devnode.h"
#include "figure.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define RUNS 5
#define IOVA FLATIOMMU_LOOKUP_FIRST
#define MAX_MAPS 60000	/* type1 allows 65535 */
#define BATCH 1000

static void measure_steps(void)
{
	static const char *const names[] = { "claim", "bind", "open", "map", "all" };
	double took[ARRAY_SIZE(names)][RUNS], at[ARRAY_SIZE(names)];
	struct vfio_dev edu = VFIO_DEV_INIT;
	char *memory = mem_giant();
	int container, flat;
	unsigned int run, i;

	must(memory ? 0 : -ENOMEM, "1 GiB in one huge page");
	for (run = 0; run < RUNS; run++) {
		at[0] = now();
		must(flat_claim(EDU), "claim");
		at[1] = now();
		must(pci_bind(EDU, "vfio-pci"), "bind");
		at[2] = now();
		container = vfio_container();
		must(container, "container");
		must(vfio_open(&edu, container, EDU), "open");
		at[3] = now();
		flat = flat_open();
		must(flat, "/dev/flatiommu");
		must(flat_declare(flat, EDU), "DECLARE");
		must(vfio_map(container, memory, IOVA, GIANT_PAGE), "MAP_DMA");
		at[4] = now();
		for (i = 0; i < 4; i++)
			took[i][run] = at[i + 1] - at[i];
		took[4][run] = at[4] - at[0];
		close_fd(&flat);
		vfio_close(&edu);
		close_fd(&container);
		must(pci_unbind(EDU), "unbind");
		must(flat_release(EDU), "release");
	}
	for (i = 0; i < ARRAY_SIZE(names); i++)
		figure("startup", "one function", GIANT_PAGE, names[i], took[i], RUNS);
	mem_free(memory, GIANT_PAGE);
}

/* Looks the address of a page up again if the page has moved, as programs do. */
static int map_page(int container, char *page, uint64_t *bus)
{
	int ret = vfio_map(container, page, *bus, PAGE);

	if (ret != -EADDRNOTAVAIL)
		return ret;
	ret = bus_addresses(page, bus, 1);
	return ret ? ret : vfio_map(container, page, *bus, PAGE);
}

static double batch(int container, char *pages, uint64_t *bus, unsigned int from, bool map)
{
	double start = now();
	unsigned int i;

	for (i = from; i < from + BATCH; i++)
		must(map ? map_page(container, pages + i * PAGE, &bus[i]) : vfio_unmap(container, bus[i], PAGE),
		     map ? "MAP_DMA" : "UNMAP_DMA");
	return (now() - start) / BATCH;
}

static void measure_growth(void)
{
	static const unsigned int counts[] = { 0, 1000, 10000, 30000, MAX_MAPS - BATCH };
	char *pages = mem_file_scattered(MAX_MAPS);
	uint64_t *bus = calloc(MAX_MAPS, sizeof(*bus));
	double maps[RUNS], unmaps[RUNS];
	struct vfio_dev edu = VFIO_DEV_INIT;
	unsigned int i, run, done = 0;
	int container = vfio_container();

	must(!pages || !bus ? -ENOMEM : container, "pages");
	must(pci_take(EDU), "edu");
	must(vfio_open(&edu, container, EDU), "edu");
	must(bus_addresses(pages, bus, MAX_MAPS), "pagemap");
	for (i = 0; i < (is_quick() ? 2 : ARRAY_SIZE(counts)); i++) {
		for (; done < counts[i]; done++)
			must(map_page(container, pages + done * PAGE, &bus[done]), "MAP_DMA");
		for (run = 0; run < RUNS; run++) {
			maps[run] = batch(container, pages, bus, done, true);
			unmaps[run] = batch(container, pages, bus, done, false);
		}
		figure("maps", "one page", (size_t)done * PAGE, "map", maps, RUNS);
		figure("maps", "one page", (size_t)done * PAGE, "unmap", unmaps, RUNS);
	}
	vfio_close(&edu);
	close_fd(&container);
	must(pci_give_back(EDU), "edu");
	free(bus);
	mem_free(pages, MAX_MAPS * PAGE);
}

int main(void)
{
	must(flat_load(), "the module");
	measure_steps();
	measure_growth();
	must(flat_unload(), "the module");
	printf("ok 1 - measured\n1..1\n");
	return 0;
}
