/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_FILE_H
#define FLATIOMMU_FILE_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "hold.h"

struct device;
struct mm_struct;

/**
 * struct flat_file - an open of /dev/flatiommu
 * @mm:		the address space that opened it; the reference keeps another address space from
 *		being mistaken for it
 * @declared:	its declarations; flat_attach_lock
 * @pins:	its pins, by number; the xarray's lock
 * @hold:	pins that were unpinned, and are held
 */
struct flat_file {
	struct mm_struct *mm;
	struct list_head declared;
	struct xarray pins;
	struct flat_hold hold;
};

int flat_get_arg(void *arg, size_t size, size_t first_size, const void __user *from,
		 u32 *user_size);

extern const struct file_operations flat_fops;

/* main.c */
struct device *flat_device(void);

#endif /* FLATIOMMU_FILE_H */
