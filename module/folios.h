/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_FOLIOS_H
#define FLATIOMMU_FOLIOS_H

#include <linux/types.h>

struct flat_extent;

bool flat_get_folios(struct flat_extent *e);
void flat_put_folios(const struct flat_extent *e);

#endif /* FLATIOMMU_FOLIOS_H */
