// SPDX-License-Identifier: MIT
/*
 * preload/: the bytes are what a program does to its memory and asks of pagemap, a step after another, on the machine of
 * tests/unit/pagemap; and names of files.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../preload/files.h"
#include "../../preload/functions.h"
#include "../../preload/groups.h"
#include "../../preload/lock.h"
#include "../../preload/node.h"
#include "../unit/pagemap/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What preload/files.c tells preload/node.c, which is not here. */
void node_uses(const char *path)
{
	(void)path;
}

void node_retry(void)
{
}

pid_t own_pid(void)
{
	return 1;
}

unsigned int own_number(void)
{
	return 1;
}

static const uint8_t *bytes;
static size_t nr_bytes;

static unsigned int from_bytes(unsigned int limit)
{
	unsigned int value = 0;

	/* two where one does not reach */
	do {
		if (!nr_bytes)
			break;
		value = value << 8 | *bytes++;
		nr_bytes--;
	} while (limit > 256 && value < 256);
	return value % limit;
}

static void fuzz_paths(void)
{
	struct flatiommu_function function;
	char path[64];

	snprintf(path, sizeof(path), "%.*s", (int)nr_bytes, (const char *)bytes);
	if (groups_path(path) != path && strncmp(groups_path(path), "/proc/tty/ldisc", 15))
		abort();
	files_may_be(path, 1);
	function_behind(path, &function);
	if (group_behind(path))
		function_of_group(group_behind(path), -1, &function);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bytes = data;
	nr_bytes = size;
	model_next = from_bytes;
	if (from_bytes(4) == 0) {
		fuzz_paths();
		return 0;
	}
	model_begin();
	while (nr_bytes)
		model_step();
	model_end();
	return 0;
}
