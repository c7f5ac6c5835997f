// SPDX-License-Identifier: MIT
/*
 * addresses: the module, the library and the command take the same text for an address, and for the same one:
 * tests/guest/addresses.list, which has each with how sysfs spells it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/sysfs.h"
#include "../../module/address.h"
#include "../../tools/flatiommu/address.h"

static int lines, wrong;

/* @spelt: as it was understood, or "-" */
static void check(const char *who, const char *text, const char *expected, const char *spelt)
{
	if (!strcmp(expected, spelt))
		return;
	fprintf(stderr, "addresses: the %s takes '%s' for %s, not %s\n", who, text, spelt, expected);
	wrong++;
}

static void check_line(const char *expected, const char *text)
{
	char spelt[64] = "-";
	struct flat_address a;
	struct sysfs_function f;

	if (flat_parse_address(text, &a))
		snprintf(spelt, sizeof(spelt), "%04x:%02x:%02x.%x", a.segment, a.bus, a.slot, a.function);
	check("module", text, expected, spelt);
	check("library", text, expected, parse_bdf(text, &f) ? "-" : f.bdf);
	check("command", text, expected, address_parse(spelt, PCI_ADDRESS_SIZE, text) ? spelt : "-");
}

int main(void)
{
	FILE *list = fopen("tests/guest/addresses.list", "r");
	char line[256], *tab;

	if (!list) {
		perror("tests/guest/addresses.list");
		return EXIT_FAILURE;
	}
	while (fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = '\0';
		tab = strchr(line, '\t');
		if (*line == '#' || !tab)
			continue;
		*tab = '\0';
		check_line(line, tab + 1);
		lines++;
	}
	fclose(list);
	/* which a list cannot have */
	check_line("-", "0000:00:04.0\n");
	check_line("-", "\n0000:00:04.0");
	check_line("-", "");
	if (lines < 40) {
		fprintf(stderr, "addresses: the list has but %d lines\n", lines);
		wrong++;
	}
	return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
