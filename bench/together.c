// SPDX-License-Identifier: MIT
/*
 * The cost that two workers have for each other if they work at the same time, each with a function
 * of its own. A round is a pin of PIECES scattered pages and its end, or a map of them and its
 * unmap. Microseconds for a round of one worker.
 *
 *	alone		one worker
 *	threads		two threads of a program, which share its address space
 *	processes	two programs
 *
 * The emulated machine runs its processors in turns, so without contention two workers need twice
 * the time of one. So the figure is the time divided by the rounds of both. With a clock of
 * instructions it includes the waiting for locks.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices.h"
#include "devnode.h"
#include "figure.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define RUNS 5
#define ROUNDS (is_quick() ? 20u : 400u)
#define PIECES 64
#define SIZE (PIECES * PAGE)
#define IOVA FLATIOMMU_LOOKUP_FIRST
#define WORKERS 2

static const char *const devices[WORKERS + 1] = { EDU, FN1, NULL };

enum work { PIN, MAP, WORKS };

static const char *const names[WORKS] = { "pins", "maps" };

/* Both workers begin and end at the same time. It is in memory that processes share. */
static pthread_barrier_t *barrier;

struct worker {
	unsigned int index;
	enum work work;
};

static void pin_round(int flat, struct flatiommu_pin *arg, const struct flatiommu_segment *segments)
{
	arg->nr_segments = PIECES;
	arg->segments = (uintptr_t)segments;
	must(flat_call(flat, FLATIOMMU_PIN, arg), "PIN");
	must(flat_unpin(flat, arg->out_pin), "UNPIN");
}

/* Works ROUNDS rounds from a barrier to the next one: to warm up, and then RUNS times. */
static int work(void *arg)
{
	const struct worker *w = arg;
	const char *bdf = devices[w->index];
	struct flatiommu_function function = flat_function(bdf);
	struct flatiommu_segment segments[PIECES] = { 0 };
	struct flatiommu_pin pin = {
		.size = sizeof(pin),
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
		.length = SIZE,
	};
	struct vfio_dev dev = VFIO_DEV_INIT;
	char *pages = mem_file_scattered(PIECES);
	int container, flat = flat_open();
	unsigned int run, i;
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(w->index, &cpu);
	must(sched_setaffinity(0, sizeof(cpu), &cpu) ? -errno : 0, "sched_setaffinity");
	must(pages ? flat : -ENOMEM, "/dev/flatiommu");
	must(flat_declare(flat, bdf), "DECLARE");
	must(vfio_open_alone(&dev, &container, bdf), "VFIO");
	pin.vaddr = (uintptr_t)pages;
	for (run = 0; run <= RUNS; run++) {
		pthread_barrier_wait(barrier);
		for (i = 0; i < ROUNDS; i++) {
			if (w->work == PIN) {
				pin_round(flat, &pin, segments);
				continue;
			}
			must(vfio_map(container, pages, IOVA, SIZE), "MAP_DMA");
			must(vfio_unmap(container, IOVA, SIZE), "UNMAP_DMA");
		}
		pthread_barrier_wait(barrier);
	}
	vfio_close(&dev);
	close_fd(&container);
	close_fd(&flat);
	mem_free(pages, SIZE);
	return 0;
}

static void *work_in_thread(void *arg)
{
	work(arg);
	return NULL;
}

static void measure(enum work what, unsigned int count, bool threads, const char *way)
{
	struct worker workers[WORKERS];
	pthread_barrierattr_t shared;
	pthread_t thread[WORKERS];
	pid_t child[WORKERS];
	double took[RUNS];
	unsigned int i;
	int run;

	pthread_barrierattr_init(&shared);
	pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(barrier, &shared, count + 1);
	for (i = 0; i < count; i++) {
		workers[i] = (struct worker){ i, what };
		if (threads) {
			must(-pthread_create(&thread[i], NULL, work_in_thread, &workers[i]), "a thread");
			continue;
		}
		child[i] = child_begin(work, &workers[i]);
		must(child[i], "fork");
	}
	/* The first run warms up and does not count. */
	for (run = -1; run < RUNS; run++) {
		double start;

		pthread_barrier_wait(barrier);
		start = now();
		pthread_barrier_wait(barrier);
		if (run >= 0)
			took[run] = (now() - start) / ROUNDS / count;
	}
	for (i = 0; i < count; i++) {
		if (threads)
			pthread_join(thread[i], NULL);
		else
			must(child_end(child[i]), way);
	}
	pthread_barrier_destroy(barrier);
	figure("together", names[what], 0, way, took, RUNS);
}

int main(void)
{
	unsigned int what;

	barrier = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(barrier == MAP_FAILED ? -errno : 0, "shared memory");
	must(flat_begin(devices), "the module");
	for (what = 0; what < WORKS; what++) {
		measure(what, 1, true, "alone");
		measure(what, WORKERS, true, "threads");
		measure(what, WORKERS, false, "processes");
	}
	must(flat_end(devices), "the end");
	printf("ok 1 - measured\n1..1\n");
	return 0;
}
