// SPDX-License-Identifier: MIT
/*
 * The cost of a pin of one page, in instructions, for the first and for the last function of the
 * machine that the PCI core finds. The machine pc has few functions, the machine many has many.
 */
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "devnode.h"
#include "figure.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define RUNS 5
#define CALLS 200
#define INSTRUCTIONS 500	/* in a microsecond of the clock of instructions */

#define BRIDGE_CLASS 0x06

/* Returns a function without a driver, because the end of a pin stops the function. */
static const char *function_without_driver(const glob_t *found, bool last)
{
	char path[64];
	size_t i;

	for (i = 0; i < found->gl_pathc; i++) {
		const char *bdf = last_part(found->gl_pathv[last ? found->gl_pathc - 1 - i : i]);

		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/class", bdf);
		if (!*pci_driver(bdf) && read_number(path) >> 16 != BRIDGE_CLASS)
			return bdf;
	}
	return NULL;
}

static void measure(int flat, const char *bdf, const char *page, const char *what, const char *way)
{
	struct flatiommu_function function = flat_function(bdf);
	struct flatiommu_segment segment;
	struct flatiommu_pin arg = {
		.size = sizeof(arg),
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
		.vaddr = (uintptr_t)page,
		.length = PAGE,
		.segments = (uintptr_t)&segment,
	};
	double took[RUNS];
	unsigned int i;
	int run;

	for (run = -1; run < RUNS; run++) {
		double spent = 0;

		for (i = 0; i < CALLS; i++) {
			double start = now();

			arg.nr_segments = 1;
			must(flat_call(flat, FLATIOMMU_PIN, &arg), bdf);
			spent += now() - start;
			must(flat_unpin(flat, arg.out_pin), "UNPIN");
		}
		if (run >= 0)
			took[run] = spent / CALLS * INSTRUCTIONS;
	}
	figure("functions", what, 0, way, took, RUNS);
}

int main(void)
{
	const char *page = mem_pages(1), *first, *last;
	char what[64];
	glob_t found;
	int flat;

	must(page ? 0 : -ENOMEM, "a page");
	must(glob("/sys/bus/pci/devices/*", 0, NULL, &found) ? -ENOENT : 0, "functions");
	first = function_without_driver(&found, false);
	last = function_without_driver(&found, true);
	must(first ? 0 : -ENODEV, "a function");
	must(flat_load(), "the module");
	flat = flat_open();
	must(flat, "/dev/flatiommu");
	snprintf(what, sizeof(what), "%zu functions", (size_t)found.gl_pathc);
	measure(flat, first, page, what, "pin, first");
	measure(flat, last, page, what, "pin, last");
	close_fd(&flat);
	must(flat_unload(), "the module");
	globfree(&found);
	printf("ok 1 - measured\n1..1\n");
	return 0;
}
