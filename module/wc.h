/* SPDX-License-Identifier: GPL-2.0-only */
/* BARs that a claim makes write-combined. */
#ifndef FLATIOMMU_WC_H
#define FLATIOMMU_WC_H

#include <linux/types.h>

struct flat_claim;

int flat_wc_hold(struct flat_claim *claim, unsigned long bars);
void flat_wc_release(struct flat_claim *claim);
unsigned long flat_wc_bars(const struct flat_claim *claim);

#endif /* FLATIOMMU_WC_H */
