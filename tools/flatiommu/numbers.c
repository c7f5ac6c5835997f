// SPDX-License-Identifier: MIT
#include "numbers.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int parse_number(struct tool *tool, unsigned long long *number, const char *text)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 0);
	suffix = *end ? strchr(suffixes, *end) : NULL;
	if (suffix) {
		unsigned int shift = 10 * (suffix - suffixes + 1);

		if (*number > ULLONG_MAX >> shift)
			errno = ERANGE;
		*number <<= shift;
		end++;
	}
	if (errno || end == text || *end || *text == '-')
		return tool_fail(tool, -EINVAL, "%s: not a number such as 4096, 0x1000 or 2M", text);
	return 0;
}
