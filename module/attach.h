/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_ATTACH_H
#define FLATIOMMU_ATTACH_H

#include <linux/types.h>

#include "choice.h"
#include "compat.h"
#include "flatiommu.h"

static inline struct flat_domain *to_flat_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct flat_domain, domain);
}

/* Is memory of @d held after its unmap or unpin, provided that a function is attached? */
static inline bool flat_domain_holds(const struct flat_domain *d)
{
	return unlikely(flat_chose_other(&flat_on_unmap) || READ_ONCE(d->nr_hold));
}

/* Are the functions of @d stopped when a map in it is refused? */
static inline bool flat_domain_fences(const struct flat_domain *d)
{
	return flat_chose_other(&flat_on_refusal) || READ_ONCE(d->nr_fence);
}

int flat_adopt_bus_map(struct flat_domain *d, struct flat_claim *claim);
bool flat_may_take_over(struct flat_claim *claim);
void flat_pause(struct flat_claim *claim);
int flat_attach(struct flat_claim *claim, enum flat_attachment attachment,
		struct flat_domain *domain);
FLAT_ATTACH_DEV(flat_domain_attach);
bool flat_is_attached(struct flat_domain *d);
struct flat_domain *flat_domain_of_only(struct pci_dev *pdev, struct pci_dev **pdevs,
					unsigned int n);
void flat_leave_domain(struct flat_claim *claim);

#endif /* FLATIOMMU_ATTACH_H */
