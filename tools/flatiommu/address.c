// SPDX-License-Identifier: MIT
#include "address.h"

#include <ctype.h>
#include <stdio.h>

bool address_parse(char *address, size_t size, const char *text)
{
	unsigned int segment = 0, bus, device, function;
	int end = 0;

	if (sscanf(text, "%8x:%2x:%2x.%1x%n", &segment, &bus, &device, &function, &end) != 4) {
		segment = 0;
		if (sscanf(text, "%2x:%2x.%1x%n", &bus, &device, &function, &end) != 3)
			return false;
	}
	if (text[end] || !isxdigit((unsigned char)text[0]) || device > 0x1f || function > 7)
		return false;
	snprintf(address, size, "%04x:%02x:%02x.%x", segment, bus, device, function);
	return true;
}

bool kind_parse(unsigned int *vendor, unsigned int *device, const char *text)
{
	int end = 0;

	return sscanf(text, "%4x:%4x%n", vendor, device, &end) == 2 && !text[end];
}
