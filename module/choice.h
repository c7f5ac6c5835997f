/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_CHOICE_H
#define FLATIOMMU_CHOICE_H

#include <linux/compiler.h>
#include <linux/moduleparam.h>
#include <linux/types.h>

/**
 * struct flat_choice - a module parameter with two values
 * @names:	the default and the other one
 * @other:	the other one was chosen
 */
struct flat_choice {
	const char *names[2];
	bool other;
};

extern struct flat_choice flat_on_unmap;
extern struct flat_choice flat_on_refusal;

/* For module_param_cb() with a struct flat_choice. Needs CAP_SYS_RAWIO to set. */
extern const struct kernel_param_ops flat_choice_ops;

static inline bool flat_chose_other(const struct flat_choice *choice)
{
	return READ_ONCE(choice->other);
}

#endif /* FLATIOMMU_CHOICE_H */
