/* SPDX-License-Identifier: MIT */
/* How people name a PCI function by number. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define PCI_ADDRESS_SIZE 20

/* An address, with or without its segment, as sysfs spells it: with it, and in lower case. */
bool address_parse(char *address, size_t size, const char *text);

/* vendor:device */
bool kind_parse(unsigned int *vendor, unsigned int *device, const char *text);

#endif
