// SPDX-License-Identifier: MIT
/*
 * The cost of reading /proc/self/pagemap, as drivers do, in a program that flatiommu run has
 * started: from the kernel, by system calls that the preloaded library does not see, and from the
 * library, which pins the memory first. All memory is of huge pages, and is new in each run.
 * Microseconds.
 *
 * Without arguments it binds a function, and starts itself by flatiommu run with the argument "measure".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices.h"
#include "figure.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define RUNS 5
#define MOST ((size_t)1 << 30)

static int pagemap;

static ssize_t from_kernel(void *entries, size_t n, off_t offset)
{
	return syscall(SYS_pread64, pagemap, entries, n, offset);
}

static ssize_t from_library(void *entries, size_t n, off_t offset)
{
	return pread(pagemap, entries, n, offset);
}

static const struct {
	const char *name;
	ssize_t (*read)(void *entries, size_t n, off_t offset);
} ways[] = { { "kernel", from_kernel }, { "library", from_library } };

/* Each @step bytes of @size bytes of memory: reads the entries of the first @part bytes. */
static double read_all(unsigned int way, size_t size, size_t step, size_t part, uint64_t *entries)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	const ssize_t length = (ssize_t)(part / PAGE * sizeof(*entries));
	double start, took;
	size_t at;

	must(memory == MAP_FAILED ? -errno : 0, "huge pages");
	for (at = 0; at < size; at += HUGE_PAGE)
		memory[at] = 1;
	start = now();
	for (at = 0; at < size; at += step) {
		off_t offset = (off_t)((uintptr_t)(memory + at) / PAGE * sizeof(*entries));

		must(ways[way].read(entries, (size_t)length, offset) == length ? 0 : -EIO, ways[way].name);
	}
	took = now() - start;
	must(*entries >> 63 ? 0 : -EIO, "an entry");
	munmap(memory, size);
	return took;
}

static void measure(const char *what, size_t size, size_t step, size_t part)
{
	uint64_t *entries = calloc(part / PAGE, sizeof(*entries));
	double took[RUNS];
	unsigned int way;
	int run;

	must(entries ? 0 : -ENOMEM, "entries");
	memset(entries, 1, part / PAGE * sizeof(*entries));
	for (way = 0; way < ARRAY_SIZE(ways); way++) {
		/* The first run warms up and does not count. */
		for (run = -1; run < RUNS; run++) {
			double time = read_all(way, size, step, part, entries);

			if (run >= 0)
				took[run] = time;
		}
		figure("entries", what, size, ways[way].name, took, RUNS);
	}
	free(entries);
}

static void measure_all(void)
{
	const size_t size = is_quick() ? 8 * HUGE_PAGE : MOST;

	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	must(pagemap < 0 ? -errno : 0, "pagemap");
	measure("all at once", size, size, size);
	measure("a read for each huge page", size, HUGE_PAGE, PAGE);
	measure("a read for each 4 KiB", 8 * HUGE_PAGE, PAGE, PAGE);
	close(pagemap);
}

static void start_by_run(const char *self)
{
	pid_t child = fork();
	int status;

	must(child < 0 ? -errno : 0, "fork");
	if (!child) {
		execlp("flatiommu", "flatiommu", "run", "--", self, "measure", (char *)NULL);
		must(-errno, "flatiommu");
	}
	must(waitpid(child, &status, 0) == child && !status ? 0 : -EIO, "flatiommu run");
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		measure_all();
		return 0;
	}
	must(flat_load(), "the module");
	must(huge_pages((long)(MOST / HUGE_PAGE)), "huge pages");
	must(pci_take(EDU), "edu");
	start_by_run(argv[0]);
	must(pci_give_back(EDU), "edu");
	must(huge_pages(0), "huge pages");
	must(flat_unload(), "the module");
	printf("ok 1 - measured\n1..1\n");
	return 0;
}
