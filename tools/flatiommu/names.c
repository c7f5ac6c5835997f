// SPDX-License-Identifier: MIT
#include "names.h"

#include <pci/pci.h>
#include <stdio.h>
#include <stdlib.h>

static void say_nothing(char *fmt, ...)
{
	(void)fmt;
}

struct pci_access *database_open(void)
{
	struct pci_access *database = pci_alloc();

	/* only names are needed: pci_init() would end the program if there is no PCI */
	if (database)
		database->debug = database->warning = say_nothing;
	return database;
}

/*
 * Cache of names: if a name is missing, libpci reads ten files at each call, and often many
 * functions have the same ids.
 */
struct known {
	struct known *next;
	int flags;
	unsigned int a, b;
	char name[256];
};

static struct known *known;

static const char *look_up(struct pci_access *database, char *buf, size_t size, int flags,
			   unsigned int a, unsigned int b)
{
	struct known *k;

	for (k = known; k; k = k->next)
		if (k->flags == flags && k->a == a && k->b == b)
			break;
	if (!k) {
		k = calloc(1, sizeof(*k));
		if (!k)
			return "";
		k->flags = flags;
		k->a = a;
		k->b = b;
		snprintf(k->name, sizeof(k->name), "%s",
			 pci_lookup_name(database, buf, size, flags, a, b));
		k->next = known;
		known = k;
	}
	snprintf(buf, size, "%s", k->name);
	return buf;
}

void database_close(struct pci_access *database)
{
	while (known) {
		struct known *next = known->next;

		free(known);
		known = next;
	}
	pci_cleanup(database);
}

const char *database_name(struct pci_access *database, const struct function *f, char *buf,
			  size_t size)
{
	return look_up(database, buf, size, PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, f->vendor,
		       f->device);
}

const char *database_class(struct pci_access *database, const struct function *f, char *buf,
			   size_t size)
{
	return look_up(database, buf, size, PCI_LOOKUP_CLASS, f->class >> 8, 0);
}
