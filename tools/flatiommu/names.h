/* SPDX-License-Identifier: MIT */
/* Names of functions in the database of PCI ids. */
#ifndef NAMES_H
#define NAMES_H

#include "pci.h"

struct pci_access;

/* Returns NULL if there is no memory. If the database is missing, names are numbers. */
struct pci_access *database_open(void);
void database_close(struct pci_access *database);

const char *database_name(struct pci_access *database, const struct function *function, char *buf,
			  size_t size);
const char *database_class(struct pci_access *database, const struct function *function, char *buf,
			   size_t size);

#endif
