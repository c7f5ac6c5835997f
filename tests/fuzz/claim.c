// SPDX-License-Identifier: MIT
/*
 * What the module parses, addresses and BARs as claim and devices= have them: its own functions, which the
 * Makefile copies to claim-parser.h.
 */
#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCI_STD_NUM_BARS 6
#define BIT(n) (1ul << (n))
#define str_has_prefix(s, prefix) (strncmp(s, prefix, strlen(prefix)) ? 0 : strlen(prefix))

bool flat_wc_parse(const char *s, unsigned long *bars);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#include "claim-parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request r, again;
	char *text = malloc(size + 1), *options, name[64];

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	options = split_options(text);
	if (parse_address(text, &r)) {
		snprintf(name, sizeof(name), "%04x:%02x:%02x.%x", r.segment, r.bus, r.slot, r.function);
		if (!parse_address(name, &again) || again.segment != r.segment || again.bus != r.bus ||
		    again.slot != r.slot || again.function != r.function)
			abort();
	}
	if (options && flat_wc_parse(options, &r.wc_bars) && (!r.wc_bars || r.wc_bars >> PCI_STD_NUM_BARS))
		abort();
	free(text);
	return 0;
}
