/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_OPTIONS_H
#define FLATIOMMU_OPTIONS_H

#include <linux/types.h>

/**
 * struct flat_options - options of a claim
 * @wc_bars:	a bit for each BAR that the claim makes write-combined
 * @hold:	as on_unmap=hold, for this function and those that share its I/O address space
 * @fence:	as on_refusal=fence, for the same functions
 */
struct flat_options {
	unsigned long wc_bars;
	bool hold;
	bool fence;
};

#endif /* FLATIOMMU_OPTIONS_H */
