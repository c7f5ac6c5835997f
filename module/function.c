// SPDX-License-Identifier: GPL-2.0-only
/* How a function is named, in text and in the calls of /dev/flatiommu. */
#include <linux/bits.h>
#include <linux/pci.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <linux/flatiommu.h>

#include "function.h"
#include "index.h"

/* Cuts @text at the first '/'. Returns the text after it, or NULL if there is none. */
char *flat_split_options(char *text)
{
	strsep(&text, "/");
	return text;
}

/* Parses wc=BAR[+BAR...]. Returns whether @s is that, with a bit set in *@bars for each BAR. */
static bool parse_wc(const char *s, unsigned long *bars)
{
	size_t prefix = str_has_prefix(s, "wc=");
	unsigned long found = 0;

	if (!prefix)
		return false;
	s += prefix;
	for (;;) {
		if (*s < '0' || *s >= '0' + PCI_STD_NUM_BARS)
			return false;
		found |= BIT(*s - '0');
		s++;
		if (*s != '+')
			break;
		s++;
	}
	*bars = found;
	return !*s;
}

/**
 * flat_parse_options() - parse the options after the address of a function to be claimed
 * @address:	the address, for the log
 * @options:	wc=BAR[+BAR...], or NULL
 * @r:		gets the options
 *
 * Returns true, or logs that @options are wrong and returns false.
 */
bool flat_parse_options(const char *address, const char *options, struct flat_request *r)
{
	r->wc_bars = 0;
	if (!options || parse_wc(options, &r->wc_bars))
		return true;
	pr_warn("%s: not claimed: '%s' is not wc= and BARs, 0 to 5, such as wc=2 or wc=0+2\n",
		address, options);
	return false;
}

/* Returns the function with a reference for the caller, or NULL. */
struct pci_dev *flat_requested_function(const struct flat_request *r)
{
	return flat_find_function(r->at.segment, r->at.bus,
				  PCI_DEVFN(r->at.slot, r->at.function));
}

/* Returns 0 with a reference to the function for the caller, -EOPNOTSUPP or -ENODEV. */
int flat_get_function(const struct flatiommu_function *name, struct pci_dev **pdev)
{
	if (name->reserved)
		return -EOPNOTSUPP;
	*pdev = NULL;
	if (name->segment <= FLAT_SEGMENT_MAX)
		*pdev = flat_find_function(name->segment, name->bus, name->devfn);
	return *pdev ? 0 : -ENODEV;
}

/**
 * flat_get_functions() - find the functions that a call names
 * @names:	address of an array in the program
 * @n:		length of the array, as the program gave it
 * @pdevs:	array of FLATIOMMU_MAX_FUNCTIONS; gets the functions, each with a reference, for
 *		flat_put_functions()
 *
 * Returns 0, or without any reference -EINVAL, -EFAULT, -EOPNOTSUPP or -ENODEV.
 */
int flat_get_functions(u64 names, unsigned int n, struct pci_dev **pdevs)
{
	struct flatiommu_function name[FLATIOMMU_MAX_FUNCTIONS];
	unsigned int i;
	int ret = 0;

	if (!n || n > FLATIOMMU_MAX_FUNCTIONS)
		return -EINVAL;
	if (copy_from_user(name, u64_to_user_ptr(names), n * sizeof(*name)))
		return -EFAULT;
	for (i = 0; i < n; i++) {
		ret = flat_get_function(&name[i], &pdevs[i]);
		if (ret)
			break;
	}
	if (ret)
		flat_put_functions(pdevs, i);
	return ret;
}

void flat_put_functions(struct pci_dev **pdevs, unsigned int n)
{
	while (n--)
		pci_dev_put(pdevs[n]);
}
