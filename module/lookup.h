/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_LOOKUP_H
#define FLATIOMMU_LOOKUP_H

#include <linux/types.h>

struct flat_domain;
struct flat_file;
struct flatiommu_lookup;

bool flat_is_lookup_iova(struct flat_domain *d, u64 iova, size_t size);
int flat_lookup_iova(struct flat_file *f, struct flatiommu_lookup *arg);

#endif /* FLATIOMMU_LOOKUP_H */
