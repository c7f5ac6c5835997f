/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_INDEX_H
#define FLATIOMMU_INDEX_H

#include <linux/types.h>

struct pci_dev;

struct pci_dev *flat_find_function(unsigned int segment, unsigned int bus, unsigned int devfn);
bool flat_is_on_bus(struct pci_dev *pdev);
void flat_index_add(struct pci_dev *pdev);
void flat_index_remove(struct pci_dev *pdev);
void flat_index_fill(void);
void flat_index_exit(void);

#endif /* FLATIOMMU_INDEX_H */
