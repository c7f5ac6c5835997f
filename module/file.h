/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_FILE_H
#define FLATIOMMU_FILE_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct flatiommu_function;
struct mm_struct;
struct pci_dev;

/**
 * struct flat_file - an open of /dev/flatiommu
 * @mm:		the address space that opened it; a reference is held, so that no other one can be
 *		mistaken for it
 * @declarations: functions that it looks addresses up for; flat_attach_lock
 * @pins:	by their number; the xarray's lock
 */
struct flat_file {
	struct mm_struct *mm;
	struct list_head declarations;
	struct xarray pins;
};

extern const struct file_operations flat_fops;

int flat_get_function(const struct flatiommu_function *name, struct pci_dev **pdev);
int flat_get_functions(u64 names, unsigned int n, struct pci_dev **pdevs);
void flat_put_functions(struct pci_dev **pdevs, unsigned int n);

#endif /* FLATIOMMU_FILE_H */
