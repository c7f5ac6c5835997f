// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI functions by their address. The PCI core walks all there are to find one, and its lists of
 * buses are not for modules to lock.
 */
#include <linux/pci.h>
#include <linux/xarray.h>

#include "index.h"

/* Those that could not be added are found by the core. Each has a reference. */
static DEFINE_XARRAY(functions);

static unsigned long index_of(unsigned int segment, unsigned int bus, unsigned int devfn)
{
	return (unsigned long)segment << 16 | bus << 8 | devfn;
}

static unsigned long index_of_function(const struct pci_dev *pdev)
{
	return index_of(pci_domain_nr(pdev->bus), pdev->bus->number, pdev->devfn);
}

/**
 * flat_find_function() - the function at an address
 * @segment:	PCI segment, INT_MAX at most
 * @bus:	bus number
 * @devfn:	device << 3 | function
 *
 * Returns the function with a reference for the caller, or NULL.
 */
struct pci_dev *flat_find_function(unsigned int segment, unsigned int bus, unsigned int devfn)
{
	struct pci_dev *pdev;

	xa_lock(&functions);
	pdev = pci_dev_get(xa_load(&functions, index_of(segment, bus, devfn)));
	xa_unlock(&functions);
	return pdev ? : pci_get_domain_bus_and_slot(segment, bus, devfn);
}

/* Has the core the function on its list? It takes it off as it removes it. */
static bool is_listed(struct pci_dev *pdev)
{
	struct pci_dev *listed = pci_get_domain_bus_and_slot(pci_domain_nr(pdev->bus),
							     pdev->bus->number, pdev->devfn);

	pci_dev_put(listed);
	return listed == pdev;
}

/* Is it still to be told that the function goes, or is the function at least not gone? */
bool flat_is_on_bus(struct pci_dev *pdev)
{
	return xa_load(&functions, index_of_function(pdev)) == pdev || is_listed(pdev);
}

/* A function has come. */
void flat_index_add(struct pci_dev *pdev)
{
	struct pci_dev *old = xa_store(&functions, index_of_function(pdev), pci_dev_get(pdev),
				       GFP_KERNEL);

	pci_dev_put(xa_is_err(old) ? pdev : old);
}

/* A function goes, or has gone: it may have been added in between, see flat_index_fill(). */
void flat_index_remove(struct pci_dev *pdev)
{
	if (xa_cmpxchg(&functions, index_of_function(pdev), pdev, NULL, 0) == pdev)
		pci_dev_put(pdev);
}

/* Those that are there, after others are told of by the bus. */
void flat_index_fill(void)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		cond_resched();
		flat_index_add(pdev);
		/* One that has gone meanwhile may have been removed from the index before. */
		if (!device_is_registered(&pdev->dev) || !is_listed(pdev))
			flat_index_remove(pdev);
	}
}

/* Nobody is told of functions any more. */
void flat_index_exit(void)
{
	struct pci_dev *pdev;
	unsigned long index;

	xa_for_each(&functions, index, pdev)
		pci_dev_put(pdev);
	xa_destroy(&functions);
}
