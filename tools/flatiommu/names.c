// SPDX-License-Identifier: MIT
#include "names.h"

#include <pci/pci.h>

static void say_nothing(char *fmt, ...)
{
	(void)fmt;
}

struct pci_access *database_open(void)
{
	struct pci_access *database = pci_alloc();

	/* not pci_init(), which ends the program where there is no PCI: this is for names */
	if (database)
		database->debug = database->warning = say_nothing;
	return database;
}

void database_close(struct pci_access *database)
{
	pci_cleanup(database);
}

const char *database_name(struct pci_access *database, const struct function *f, char *buf,
			  size_t size)
{
	return pci_lookup_name(database, buf, size, PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE,
			       f->vendor, f->device);
}

const char *database_class(struct pci_access *database, const struct function *f, char *buf,
			   size_t size)
{
	return pci_lookup_name(database, buf, size, PCI_LOOKUP_CLASS, f->class >> 8);
}
