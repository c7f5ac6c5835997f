// SPDX-License-Identifier: MIT
/*
 * The cost of a claim and of its release while N functions are claimed already, each in a group of
 * its own, and the kernel's memory for a claim. Microseconds, on the machine many.
 */
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "figure.h"
#include "sysfs.h"
#include "test.h"

#define RUNS 5
#define BATCH 40
#define PVPANIC 0x0011	/* QEMU's; the devices do nothing here */

static const char **functions;
static unsigned int count;

static void find_functions(void)
{
	char path[64];
	glob_t found;
	size_t i;

	must(glob("/sys/bus/pci/devices/*", 0, NULL, &found) ? -ENOENT : 0, "functions");
	functions = calloc(found.gl_pathc, sizeof(*functions));
	for (i = 0; i < found.gl_pathc; i++) {
		snprintf(path, sizeof(path), "%s/device", found.gl_pathv[i]);
		if (read_number(path) == PVPANIC)
			functions[count++] = last_part(found.gl_pathv[i]);
	}
}

static double batch(unsigned int from, int (*call)(const char *bdf), const char *name)
{
	double start = now();
	unsigned int i;

	for (i = from; i < from + BATCH; i++)
		must(call(functions[i]), name);
	return (now() - start) / BATCH;
}

int main(void)
{
	static const unsigned int counts[] = { 0, 10, 50, 100, 200 };
	double claims[RUNS], releases[RUNS], before, bytes;
	unsigned int i, run, done = 0;
	char what[32];

	find_functions();
	must(count >= counts[ARRAY_SIZE(counts) - 1] + BATCH ? 0 : -ENODEV, "functions");
	must(flat_load(), "the module");
	/* The first claims make caches and directories that stay. */
	batch(0, flat_claim, "claim");
	batch(0, flat_release, "release");
	before = kernel_bytes();
	for (i = 0; i < (is_quick() ? 2 : ARRAY_SIZE(counts)); i++) {
		for (; done < counts[i]; done++)
			must(flat_claim(functions[done]), functions[done]);
		for (run = 0; run < RUNS; run++) {
			claims[run] = batch(done, flat_claim, "claim");
			releases[run] = batch(done, flat_release, "release");
		}
		snprintf(what, sizeof(what), "%u claimed", done);
		figure("claims", what, 0, "claim", claims, RUNS);
		figure("claims", what, 0, "release", releases, RUNS);
	}
	bytes = (kernel_bytes() - before) / done;
	figure("memory", "claim", 0, "claim", &bytes, 1);
	while (done--)
		must(flat_release(functions[done]), functions[done]);
	must(flat_unload(), "the module");
	printf("ok 1 - measured\n1..1\n");
	return 0;
}
