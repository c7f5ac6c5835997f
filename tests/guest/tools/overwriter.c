// SPDX-License-Identifier: MIT
/*
 * overwriter DEVICE HOW [keep]: a driver with a bug. It gives edu memory by a map or a pin, lets the memory go without
 * stopping the device, and says where it was. For each address on its input the device writes there. With keep the
 * memory stays the program's, so that no other program gets it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "devnode.h"
#include "edu.h"
#include "mem.h"
#include "test.h"
#include "vfio.h"

#define PAGES ((size_t)64)
#define KEY FLATIOMMU_LOOKUP_FIRST

static void must(int ret, const char *what)
{
	if (ret >= 0)
		return;
	printf("%s: %s\n", what, errno_name(ret));
	exit(1);
}

/* Gives the memory, finds where it is, and lets it go. */
static void use(const char *bdf, const char *how, int container, int flat, char *pages, uint64_t *bus)
{
	bool pins = !strcmp(how, "pin");
	uint32_t pin = 0;
	size_t i;

	must(flat_declare(flat, bdf), "DECLARE");
	if (pins)
		must(flat_pin(flat, bdf, pages, PAGES * PAGE, FLATIOMMU_PIN_VFIO, &pin), "PIN");
	else
		must(vfio_map(container, pages, KEY, PAGES * PAGE), "MAP_DMA");
	for (i = 0; i < PAGES; i++)
		bus[i] = pins ? flat_address_in_pin(flat, bdf, pin, i * PAGE) :
				flat_address(flat, bdf, KEY + i * PAGE);
	if (pins)
		must(flat_unpin(flat, pin), "UNPIN");
	else
		must(vfio_unmap(container, KEY, PAGES * PAGE), "UNMAP_DMA");
}

int main(int argc, char **argv)
{
	struct vfio_dev edu = VFIO_DEV_INIT;
	char *pages = mem_scattered(PAGES), line[32];
	uint64_t *bus = calloc(PAGES, sizeof(*bus));
	int container = -1, flat;
	size_t i;

	if (argc < 3 || !pages || !bus)
		return 2;
	must(vfio_open_alone(&edu, &container, argv[1]), "VFIO");
	flat = flat_open();
	must(flat, "/dev/flatiommu");
	use(argv[1], argv[2], container, flat, pages, bus);
	if (!argv[3])
		munmap(pages, PAGES * PAGE);
	for (i = 0; i < PAGES; i++)
		printf("0x%llx%c", (unsigned long long)bus[i], i + 1 < PAGES ? ' ' : '\n');
	while (fflush(stdout) == 0 && fgets(line, sizeof(line), stdin)) {
		must(edu_store(edu.bar0, strtoull(line, NULL, 0), EDU_COPY), "DMA");
		puts("written");
	}
	return 0;
}
