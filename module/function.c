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

/* Parses BAR[+BAR...] at *@s, and moves *@s behind it. Sets a bit in *@bars for each BAR. */
static bool parse_bars(const char **s, unsigned long *bars)
{
	for (;; ++*s) {
		if (**s < '0' || **s >= '0' + PCI_STD_NUM_BARS)
			return false;
		*bars |= BIT(**s - '0');
		if (*++*s != '+')
			return true;
	}
}

/* Parses @word at *@s, and moves *@s behind it. */
static bool parse_word(const char **s, const char *word)
{
	size_t n = str_has_prefix(*s, word);

	*s += n;
	return n;
}

/*
 * Parses the option at *@s, and moves *@s behind it. Returns 0, -EINVAL if it is no option, or
 * -EEXIST if @options has it already.
 */
static int parse_option(const char **s, struct flat_options *options)
{
	struct flat_options found = { };

	if (parse_word(s, "wc=")) {
		if (!parse_bars(s, &found.wc_bars))
			return -EINVAL;
	} else if (parse_word(s, "hold")) {
		found.hold = true;
	} else if (parse_word(s, "fence")) {
		found.fence = true;
	} else {
		return -EINVAL;
	}
	if (**s && **s != '/')
		return -EINVAL;
	if ((found.wc_bars && options->wc_bars) || (found.hold && options->hold) ||
	    (found.fence && options->fence))
		return -EEXIST;
	options->wc_bars |= found.wc_bars;
	options->hold |= found.hold;
	options->fence |= found.fence;
	return 0;
}

/**
 * flat_parse_options() - parse the options after the address of a function to be claimed
 * @address:	the address, for the log
 * @options:	such as wc=2/hold, or NULL
 * @r:		gets the options
 *
 * Returns true, or logs that @options are wrong and returns false.
 */
bool flat_parse_options(const char *address, const char *options, struct flat_request *r)
{
	const char *s = options;
	int ret;

	r->options = (struct flat_options){ };
	if (!options)
		return true;
	for (;; s++) {
		ret = parse_option(&s, &r->options);
		if (ret)
			break;
		if (!*s)
			return true;
	}
	if (ret == -EEXIST)
		pr_warn("%s: not claimed: '%s' has an option twice\n", address, options);
	else
		pr_warn("%s: not claimed: '%s' has an invalid option: use hold, fence or wc=BAR[+BAR...], such as wc=0+2, with BARs 0 to 5\n",
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
 * Returns 0, or -EINVAL, -EFAULT, -EOPNOTSUPP or -ENODEV, and then holds no reference.
 */
int flat_get_functions(u64 names, unsigned int n, struct pci_dev **pdevs)
{
	struct flatiommu_function __user *from = u64_to_user_ptr(names);
	struct flatiommu_function name;
	unsigned int i;
	int ret = 0;

	if (!n || n > FLATIOMMU_MAX_FUNCTIONS)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		ret = copy_from_user(&name, &from[i], sizeof(name)) ? -EFAULT :
		      flat_get_function(&name, &pdevs[i]);
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

bool flat_is_among(const struct pci_dev *pdev, struct pci_dev **pdevs, unsigned int n)
{
	while (n--)
		if (pdevs[n] == pdev)
			return true;
	return false;
}
