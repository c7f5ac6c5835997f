/* SPDX-License-Identifier: MIT */
/* How people name a PCI function by number. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define PCI_ADDRESS_SIZE 20

/*
 * An address as sysfs spells it: with its segment, in lower case. What @text may be is what module/address.h says, for the
 * module and the library, too.
 */
bool address_parse(char *address, size_t size, const char *text);

/* vendor:device, of four digits each */
bool kind_parse(unsigned int *vendor, unsigned int *device, const char *text);

#endif
