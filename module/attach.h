/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_ATTACH_H
#define FLATIOMMU_ATTACH_H

#include <linux/types.h>

#include "compat.h"
#include "flatiommu.h"

static inline struct flat_domain *to_flat_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct flat_domain, domain);
}

bool flat_may_take_over(struct flat_claim *claim);
void flat_pause(struct flat_claim *claim);
int flat_attach(struct flat_claim *claim, enum flat_attachment attachment,
		struct flat_domain *domain);
FLAT_ATTACH_DEV(flat_domain_attach);
bool flat_is_attached(struct flat_domain *d);

#endif /* FLATIOMMU_ATTACH_H */
