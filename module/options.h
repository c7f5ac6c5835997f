/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_OPTIONS_H
#define FLATIOMMU_OPTIONS_H

#include <linux/types.h>

/**
 * struct flat_options - options of a claim
 * @wc_bars:	a bit for each BAR to be held write-combined
 * @hold:	on_unmap=hold, for what the function shares an I/O address space with
 * @fence:	on_refusal=fence, for the same
 */
struct flat_options {
	unsigned long wc_bars;
	bool hold;
	bool fence;
};

#endif /* FLATIOMMU_OPTIONS_H */
