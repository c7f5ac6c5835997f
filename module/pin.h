/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_PIN_H
#define FLATIOMMU_PIN_H

#include <linux/types.h>

struct flat_domain;
struct flat_file;
struct flatiommu_lookup;
struct flatiommu_pin;

int flat_pin(struct flat_file *f, struct flatiommu_pin *arg);
void flat_end_pin(struct flat_file *f, u32 id, bool told);
int flat_unpin(struct flat_file *f, u32 id);
void flat_unpin_all(struct flat_file *f);
void flat_let_pins_go(struct flat_domain *d);
int flat_lookup_pin(struct flat_file *f, struct flatiommu_lookup *arg);

#endif /* FLATIOMMU_PIN_H */
