// SPDX-License-Identifier: GPL-2.0-only
/*
 * An index of PCI functions by address. The PCI core walks all functions to find one, and modules
 * cannot lock its lists of buses.
 */
#include <linux/pci.h>
#include <linux/xarray.h>

#include "index.h"

/*
 * The index has a reference to each function. flat_find_function() asks the PCI core for a function
 * that could not be added.
 */
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
 * flat_find_function() - find the function at an address
 * @segment:	PCI segment, at most INT_MAX
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

/* Is @pdev on the PCI core's list? A removal takes it off the list. */
static bool is_listed(struct pci_dev *pdev)
{
	struct pci_dev *listed = pci_get_domain_bus_and_slot(pci_domain_nr(pdev->bus),
							     pdev->bus->number, pdev->devfn);

	pci_dev_put(listed);
	return listed == pdev;
}

/*
 * Is @pdev on the bus: in the index, so that its removal is yet to come, or on the PCI core's list?
 */
bool flat_is_on_bus(struct pci_dev *pdev)
{
	return xa_load(&functions, index_of_function(pdev)) == pdev || is_listed(pdev);
}

/* Adds @pdev, which has been added to the bus. */
void flat_index_add(struct pci_dev *pdev)
{
	struct pci_dev *old = xa_store(&functions, index_of_function(pdev), pci_dev_get(pdev),
				       GFP_KERNEL);

	pci_dev_put(xa_is_err(old) ? pdev : old);
}

/*
 * Removes @pdev, which is being removed from the bus, or was. Called at both events, because
 * flat_index_fill() may add @pdev in between.
 */
void flat_index_remove(struct pci_dev *pdev)
{
	if (xa_cmpxchg(&functions, index_of_function(pdev), pdev, NULL, 0) == pdev)
		pci_dev_put(pdev);
}

/* Adds the functions that are on the bus. The notifier that adds later ones is registered. */
void flat_index_fill(void)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		cond_resched();
		flat_index_add(pdev);
		/* It may have been removed meanwhile, and flat_index_remove() called too early. */
		if (!device_is_registered(&pdev->dev) || !is_listed(pdev))
			flat_index_remove(pdev);
	}
}

/* Empties the index. The notifier is unregistered. */
void flat_index_exit(void)
{
	struct pci_dev *pdev;
	unsigned long index;

	xa_for_each(&functions, index, pdev)
		pci_dev_put(pdev);
	xa_destroy(&functions);
}
