/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_ROUTES_H
#define FLATIOMMU_ROUTES_H

#include <linux/device.h>

extern struct device_attribute dev_attr_claim;
extern struct device_attribute dev_attr_release;

int flat_routes_init(void);
void flat_routes_start(void);
void flat_routes_exit(void);

#endif /* FLATIOMMU_ROUTES_H */
