/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_FUNCTION_H
#define FLATIOMMU_FUNCTION_H

#include <linux/types.h>

#include "address.h"
#include "options.h"

struct flatiommu_function;
struct pci_dev;

/**
 * struct flat_request - a function as a user names it: BDF[/wc=BAR[+BAR...]][/hold][/fence]
 * @at:		the address
 * @options:	of the claim, in any order
 */
struct flat_request {
	struct flat_address at;
	struct flat_options options;
};

char *flat_split_options(char *text);
bool flat_parse_options(const char *address, const char *options, struct flat_request *r);
struct pci_dev *flat_requested_function(const struct flat_request *r);

int flat_get_function(const struct flatiommu_function *name, struct pci_dev **pdev);
int flat_get_functions(u64 names, unsigned int n, struct pci_dev **pdevs);
void flat_put_functions(struct pci_dev **pdevs, unsigned int n);
bool flat_is_among(const struct pci_dev *pdev, struct pci_dev **pdevs, unsigned int n);

#endif /* FLATIOMMU_FUNCTION_H */
