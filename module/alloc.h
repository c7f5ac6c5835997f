/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_ALLOC_H
#define FLATIOMMU_ALLOC_H

#include <linux/types.h>

struct file;
struct flat_file;
struct flatiommu_alloc;

int flat_alloc(struct flat_file *f, struct flatiommu_alloc *arg, struct file **buffer);
void flat_end_alloc(int fd, struct file *buffer, bool told);

#endif /* FLATIOMMU_ALLOC_H */
