// SPDX-License-Identifier: MIT
/*
 * What the module parses: addresses and options as claim and devices= have them, and the functions that a call of
 * /dev/flatiommu names. It is the module's own file, with tests/fuzz/kernel below it.
 */
#include <stdint.h>
#include <stdlib.h>

#include "../../module/function.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pci_dev fuzz_function;

struct pci_dev *flat_find_function(unsigned int segment, unsigned int bus, unsigned int devfn)
{
	return pci_get_domain_bus_and_slot(segment, bus, devfn);
}

static void text(const uint8_t *data, size_t size)
{
	struct flat_request r, again;
	char *text = malloc(size + 1), *options, name[64];
	struct pci_dev *pdev;

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	options = flat_split_options(text);
	if (flat_parse_address(text, &r.at)) {
		snprintf(name, sizeof(name), "%04x:%02x:%02x.%x", r.at.segment, r.at.bus, r.at.slot, r.at.function);
		if (!flat_parse_address(name, &again.at) || memcmp(&again.at, &r.at, sizeof(r.at)))
			abort();
		pdev = flat_requested_function(&r);
		if (pdev)
			pci_dev_put(pdev);
	}
	if (flat_parse_options(text, options, &r) &&
	    (!options != !(r.options.wc_bars || r.options.hold || r.options.fence) ||
	     r.options.wc_bars >> PCI_STD_NUM_BARS))
		abort();
	free(text);
}

static void array(const uint8_t *data, size_t size)
{
	size_t n = size / sizeof(struct flatiommu_function);
	struct pci_dev *pdevs[FLATIOMMU_MAX_FUNCTIONS];
	struct flatiommu_function *names = malloc(n * sizeof(*names));

	if (n && !names)
		abort();
	if (n)
		memcpy(names, data, n * sizeof(*names));
	if (!flat_get_functions((uintptr_t)names, n, pdevs)) {
		if (!n || n > FLATIOMMU_MAX_FUNCTIONS || fuzz_function.references != (int)n)
			abort();
		flat_put_functions(pdevs, n);
	}
	free(names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	text(data, size);
	array(data, size);
	if (fuzz_function.references)
		abort();
	return 0;
}
