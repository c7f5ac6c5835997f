// SPDX-License-Identifier: MIT
#include "address.h"

#include <stdio.h>

#include "../../module/address.h"

bool address_parse(char *address, size_t size, const char *text)
{
	struct flat_address a;

	if (!flat_parse_address(text, &a))
		return false;
	snprintf(address, size, "%04x:%02x:%02x.%x", a.segment, a.bus, a.slot, a.function);
	return true;
}

bool kind_parse(unsigned int *vendor, unsigned int *device, const char *text)
{
	return flat_parse_hex(&text, 4, 4, ':', vendor) &&
	       flat_parse_hex(&text, 4, 4, '\0', device);
}
