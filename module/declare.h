/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_DECLARE_H
#define FLATIOMMU_DECLARE_H

#include <linux/types.h>

struct flat_claim;
struct flat_domain;
struct flat_file;
struct flatiommu_declare;
struct mm_struct;
struct pci_dev;

int flat_declare(struct flat_file *f, struct flatiommu_declare *arg);
bool flat_has_declared(struct flat_file *f, struct pci_dev *pdev);
void flat_forget_declarations(struct flat_claim *claim);
void flat_end_declarations(struct flat_file *f);

bool flat_is_declared(const struct flat_claim *claim, const struct mm_struct *mm);
bool flat_all_declared(struct flat_domain *d, const struct mm_struct *mm);
bool flat_was_declared(const struct flat_domain *d, const struct mm_struct *mm);
void flat_declared_changes(void);
struct flat_domain *flat_declared_domain(struct flat_file *f, const struct pci_dev *pdev);
struct flat_domain *flat_shared_domain(struct flat_file *f, struct pci_dev **pdevs,
				       unsigned int n);

#endif /* FLATIOMMU_DECLARE_H */
