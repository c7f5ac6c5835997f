/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_KERNEL_PCI_H
#define FUZZ_KERNEL_PCI_H

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#define PCI_STD_NUM_BARS 6
#define PCI_DEVFN(slot, function) (((slot) & 0x1f) << 3 | ((function) & 7))

#define pr_warn(...) ((void)snprintf(NULL, 0, __VA_ARGS__))

/* All functions are there but those of the last bus. @references counts those that were not put. */
struct pci_dev {
	int references;
};

extern struct pci_dev fuzz_function;

static inline struct pci_dev *pci_get_domain_bus_and_slot(int domain, unsigned int bus, unsigned int devfn)
{
	if (domain < 0 || devfn > 255 || bus == 255)
		return NULL;
	fuzz_function.references++;
	return &fuzz_function;
}

static inline void pci_dev_put(struct pci_dev *pdev)
{
	pdev->references--;
}

#endif
