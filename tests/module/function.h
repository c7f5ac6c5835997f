/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_MODULE_FUNCTION_H
#define TESTS_MODULE_FUNCTION_H

#include <linux/kernel.h>
#include <linux/pci.h>

/* The function at an address such as 0000:00:04.0, with a reference, or NULL. */
static inline struct pci_dev *get_function(const char *address)
{
	unsigned int domain, bus, slot, fn;

	if (sscanf(address, "%x:%x:%x.%x", &domain, &bus, &slot, &fn) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, fn));
}

#endif
