/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_REFUSAL_H
#define FLATIOMMU_REFUSAL_H

#include <linux/types.h>

struct flat_domain;

bool flat_is_zero_page(phys_addr_t phys);
void flat_fence_and_wait(struct flat_domain *d);
void flat_refuse(struct flat_domain *d, u64 iova, phys_addr_t phys, size_t size);
void flat_map_failed(struct flat_domain *d, size_t size, int error);
ssize_t flat_refusals_show(char *buf);
ssize_t flat_refusal_causes_show(char *buf);
void flat_refusal_exit(void);

#endif /* FLATIOMMU_REFUSAL_H */
