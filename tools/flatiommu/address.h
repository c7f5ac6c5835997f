/* SPDX-License-Identifier: MIT */
/* Addresses and IDs of PCI functions, as people write them. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define PCI_ADDRESS_SIZE 20

/*
 * Converts @text to an address as in sysfs: with its segment, in lower case. The grammar is that of
 * module/address.h, as for the module and the library.
 */
bool address_parse(char *address, size_t size, const char *text);

/* Parses vendor:device, four digits each. */
bool kind_parse(unsigned int *vendor, unsigned int *device, const char *text);

#endif
