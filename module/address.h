/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The address of a PCI function as text: one grammar for the module, the library and the command.
 *
 *	[SSSS:]BB:DD.F		such as 0000:00:04.0, 00:04.0, 10000:01:00.0
 *
 * Hexadecimal digits in either case, and nothing before, between or after them:
 * - the PCI segment as the kernel prints it: four digits, or more if it needs them; left out: 0000
 * - the bus: two digits
 * - the device: two digits, at most 1f
 * - the function: one digit, at most 7
 * tests/guest/addresses.list has addresses, and texts that are none.
 */
#ifndef FLATIOMMU_ADDRESS_H
#define FLATIOMMU_ADDRESS_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#endif

struct flat_address {
	unsigned int segment, bus, slot, function;
};

/* The highest PCI segment that pci_get_domain_bus_and_slot() can look for. */
#define FLAT_SEGMENT_MAX 0x7fffffff

/* Parses @min to @max hexadecimal digits and then @end. Returns whether they are there. */
static inline bool flat_parse_hex(const char **s, unsigned int min, unsigned int max, char end,
				  unsigned int *value)
{
	unsigned int digits;

	*value = 0;
	for (digits = 0; digits < max; digits++) {
		char c = **s;

		if (c >= '0' && c <= '9')
			c -= '0';
		else if (c >= 'a' && c <= 'f')
			c -= 'a' - 10;
		else if (c >= 'A' && c <= 'F')
			c -= 'A' - 10;
		else
			break;
		*value = *value << 4 | c;
		(*s)++;
	}
	return digits >= min && *(*s)++ == end;
}

/* Returns whether @s is an address, and nothing else. */
static inline bool flat_parse_address(const char *s, struct flat_address *a)
{
	const char *rest = s;

	if (!flat_parse_hex(&rest, 4, 8, ':', &a->segment)) {
		a->segment = 0;
		rest = s;
	} else if (a->segment > FLAT_SEGMENT_MAX || (*s == '0' && s[4] != ':')) {
		return false;
	}
	return flat_parse_hex(&rest, 2, 2, ':', &a->bus) &&
	       flat_parse_hex(&rest, 2, 2, '.', &a->slot) && a->slot <= 0x1f &&
	       flat_parse_hex(&rest, 1, 1, '\0', &a->function) && a->function <= 7;
}

#endif /* FLATIOMMU_ADDRESS_H */
