// SPDX-License-Identifier: MIT
/*
 * The cost that a function's history adds to maps, unmaps and pins. Each is measured with the
 * parameter history=0 and with history=KEPT, each time on a new claim. Microseconds for a call.
 */
#include <string.h>

#include "devices.h"
#include "devnode.h"
#include "figure.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define RUNS 5
#define KEPT "1024"
#define PIECES 256
#define KEY FLATIOMMU_LOOKUP_FIRST

enum work { MAP, UNMAP, MAP_PIECES, UNMAP_PIECES, PIN, UNPIN, PIN_PIECES, UNPIN_PIECES, PIN_HUGE, UNPIN_HUGE, WORKS };

static const char *const names[WORKS] = {
	"map of a page", "unmap of a page", "map of 256 pieces", "unmap of 256 pieces", "pin of a page", "unpin of a page",
	"pin of 256 pieces", "unpin of 256 pieces", "pin of a huge page", "unpin of a huge page",
};

static struct vfio_dev edu = VFIO_DEV_INIT;
static int container, flat;
static char *pages, *huge;

static void maps(size_t size, unsigned int count, double *map, double *unmap)
{
	unsigned int i;
	double start = now();

	for (i = 0; i < count; i++)
		must(vfio_map(container, pages, KEY + i * size, size), "MAP_DMA");
	*map = (now() - start) / count;
	start = now();
	for (i = 0; i < count; i++)
		must(vfio_unmap(container, KEY + i * size, size), "UNMAP_DMA");
	*unmap = (now() - start) / count;
}

/* Pins like the library. */
static void pin_all(const void *addr, size_t size, unsigned int count, double *pin, double *unpin)
{
	static uint32_t numbers[4096];
	unsigned int i;
	double start = now();

	for (i = 0; i < count; i++)
		must(flat_pin(flat, EDU, addr, size, FLATIOMMU_PIN_VFIO, &numbers[i]), "PIN");
	*pin = (now() - start) / count;
	start = now();
	for (i = 0; i < count; i++)
		must(flat_unpin(flat, numbers[i]), "UNPIN");
	*unpin = (now() - start) / count;
}

/* Measures on a new claim. */
static void measure(const char *history, unsigned int calls, double *took)
{
	must(write_text(PARAMETERS "history", history), "the parameter");
	must(pci_take(EDU), "claim");
	must(vfio_open_alone(&edu, &container, EDU), "VFIO");
	flat = flat_open();
	must(flat, "/dev/flatiommu");
	must(flat_declare(flat, EDU), "DECLARE");
	/* The first calls make objects that stay. */
	maps(PAGE, calls, &took[MAP], &took[UNMAP]);
	maps(PAGE, calls, &took[MAP], &took[UNMAP]);
	maps(PIECES * PAGE, calls / 64, &took[MAP_PIECES], &took[UNMAP_PIECES]);
	pin_all(pages, PAGE, calls, &took[PIN], &took[UNPIN]);
	pin_all(pages, PIECES * PAGE, calls / 64, &took[PIN_PIECES], &took[UNPIN_PIECES]);
	if (huge)
		pin_all(huge, HUGE_PAGE, calls, &took[PIN_HUGE], &took[UNPIN_HUGE]);
	vfio_close(&edu);
	close_fd(&container);
	close_fd(&flat);
	must(pci_give_back(EDU), "release");
}

int main(void)
{
	double off[RUNS][WORKS], on[RUNS][WORKS], values[2][RUNS];
	unsigned int calls = is_quick() ? 128 : 4096, run, work;

	must(huge_pages(1), "a huge page");
	huge = mem_huge();
	pages = mem_scattered(PIECES);
	must(flat_load(), "the module");
	for (run = 0; run < RUNS; run++) {
		measure("0", calls, off[run]);
		measure(KEPT, calls, on[run]);
	}
	for (work = 0; work < WORKS; work++) {
		for (run = 0; run < RUNS; run++) {
			values[0][run] = off[run][work];
			values[1][run] = on[run][work];
		}
		figure("recorder", names[work], 0, "off", values[0], RUNS);
		figure("recorder", names[work], 0, "on", values[1], RUNS);
	}
	must(flat_unload(), "the module");
	mem_free(huge, HUGE_PAGE);
	must(huge_pages(0), "huge pages");
	printf("ok 1 - measured\n1..1\n");
	return 0;
}
