// SPDX-License-Identifier: MIT
/*
 * How long other programs can make a program wait, in microseconds. First: a map and unmap of one
 * page while another program has CROWD files with one declaration each. Second: the longest time
 * that an unmap of MANY extents, in one call of VFIO, holds the lock of the domain, by the kernel's
 * function_graph tracer.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "devices.h"
#include "devnode.h"
#include "figure.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define RUNS 5
#define ROUNDS 200
#define CROWD (is_quick() ? 200 : 20000)
#define MANY (is_quick() ? 2000ul : 200000ul)
#define KEY FLATIOMMU_LOOKUP_FIRST
#define TRACING "/sys/kernel/tracing/"
#define ERASE "flat_extents_erase"

static const char *const devices[] = { EDU, FN1, NULL };

static int container, flat;

static double map_and_unmap(char *page)
{
	double start = now();
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		must(vfio_map(container, page, KEY, PAGE), "MAP_DMA");
		must(vfio_unmap(container, KEY, PAGE), "UNMAP_DMA");
	}
	return (now() - start) / ROUNDS;
}

static int be_crowd(void *arg)
{
	const struct rlimit limit = { 100000, 100000 };
	int i, ret = setrlimit(RLIMIT_NOFILE, &limit) ? -errno : 0;

	for (i = 0; i < CROWD && !ret; i++)
		ret = flat_declare(flat_open(), EDU);
	if (ret || write(*(int *)arg, "", 1) != 1)
		return ret;
	for (;;)
		pause();
}

static void measure_crowd(void)
{
	double alone[RUNS], beside[RUNS];
	char *page = mem_pages(1), what[64], byte;
	int tell[2], i;
	pid_t child;

	must(page && !pipe(tell) ? 0 : -ENOMEM, "a page");
	map_and_unmap(page);
	for (i = 0; i < RUNS; i++)
		alone[i] = map_and_unmap(page);
	child = child_begin(be_crowd, &tell[1]);
	must(child, "fork");
	close(tell[1]);
	must(read(tell[0], &byte, 1) == 1 ? 0 : -EPIPE, "DECLARE");
	for (i = 0; i < RUNS; i++)
		beside[i] = map_and_unmap(page);
	kill(child, SIGKILL);
	child_end(child);
	snprintf(what, sizeof(what), "map and unmap, %u declarations", (unsigned int)CROWD);
	figure("crowd", what, 0, "alone", alone, RUNS);
	figure("crowd", what, 0, "beside", beside, RUNS);
	mem_free(page, PAGE);
}

/*
 * Adds a function of another program: type1 then has a second domain, and unmaps from that one in
 * one call.
 */
static int join(void *arg)
{
	int own = flat_open(), ret = flat_declare(own, FN1), group = vfio_group(FN1);

	if (!ret && group < 0)
		ret = group;
	if (!ret)
		ret = vfio_set_container(group, container);
	if (ret || write(*(int *)arg, "", 1) != 1)
		return ret;
	for (;;)
		pause();
}

/* Returns the time of the longest call. The tracer has only calls of 10 us or more. */
static double longest(void)
{
	FILE *file = fopen(TRACING "trace", "r");
	double max = 0, took;
	char line[512], *at;

	must(file ? 0 : -errno, "trace");
	while (fgets(line, sizeof(line), file)) {
		at = strstr(line, " us ");
		if (!at || !strchr(line, '|'))
			continue;
		while (at > line && (at[-1] == '.' || (at[-1] >= '0' && at[-1] <= '9')))
			at--;
		took = atof(at);
		if (took > max)
			max = took;
	}
	fclose(file);
	return max;
}

static void measure_unmap(void)
{
	const size_t size = MANY * PAGE;
	char *pages = mem_file_scattered(MANY), what[64], byte;
	double took;
	int tell[2];
	pid_t child;

	must(pages && !pipe(tell) ? 0 : -ENOMEM, "pages");
	must(vfio_map(container, pages, KEY, size), "MAP_DMA");
	child = child_begin(join, &tell[1]);
	must(child, "fork");
	close(tell[1]);
	must(read(tell[0], &byte, 1) == 1 ? 0 : -EPIPE, "the second function");
	must(write_text(TRACING "set_graph_function", ERASE), "set_graph_function");
	must(write_text(TRACING "max_graph_depth", "1"), "max_graph_depth");
	must(write_text(TRACING "tracing_thresh", "10"), "tracing_thresh");
	must(write_text(TRACING "buffer_size_kb", "16384"), "buffer_size_kb");
	must(write_text(TRACING "current_tracer", "function_graph"), "function_graph");
	must(vfio_unmap(container, KEY, size), "UNMAP_DMA");
	must(write_text(TRACING "tracing_on", "0"), "tracing_on");
	took = longest();
	must(took > 0 ? 0 : -ENOENT, ERASE);
	must(write_text(TRACING "current_tracer", "nop"), "nop");
	must(write_text(TRACING "tracing_on", "1"), "tracing_on");
	snprintf(what, sizeof(what), "unmap of %zu extents", mem_runs(pages, MANY));
	figure("crowd", what, 0, "longest hold, us", &took, 1);
	kill(child, SIGKILL);
	child_end(child);
	mem_free(pages, size);
}

static void crowd(void **state)
{
	struct vfio_dev edu = VFIO_DEV_INIT;

	(void)state;
	expect(0, flat_begin(devices));
	flat = expect_good(flat_open());
	expect(0, vfio_open_alone(&edu, &container, EDU));
	expect(0, flat_declare(flat, EDU));
	measure_crowd();
	measure_unmap();
	vfio_close(&edu);
	close_fd(&container);
	close_fd(&flat);
	expect(0, flat_end(devices));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(crowd) };

	return run_group(tests, NULL, NULL);
}
