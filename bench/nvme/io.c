// SPDX-License-Identifier: MIT
/*
 * nvme-io poll|irq BDF SIZE QDEPTH COUNT: COUNT reads of SIZE bytes with the driver of
 * examples/nvme, QDEPTH at a time. Reads of 4 KiB are at random places, longer reads are
 * sequential. Prints the number of reads in a second.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../examples/log.h"
#include "../../examples/nvme/nvme.h"

struct load {
	uint32_t blocks;	/* of a read */
	uint64_t places;	/* on the disk, for a read */
	unsigned long count;
	uint64_t state;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Returns the next place: random, by a linear congruential generator, or the following one. */
static uint64_t next(struct load *l)
{
	if (l->blocks > 8)
		return l->state++ % l->places;
	l->state = l->state * 6364136223846793005u + 1442695040888963407u;
	return (l->state >> 33) % l->places;
}

static int read_all(struct nvme *n, struct load *l)
{
	unsigned long started = 0, finished = 0;
	int err = 0;

	while (!err && finished < l->count) {
		if (started < l->count && started - finished < n->qdepth)
			err = nvme_start(n, (unsigned int)(started++ % n->qdepth), NVME_CMD_READ, next(l) * l->blocks,
					 l->blocks);
		else
			err = nvme_finish(n, (unsigned int)(finished++ % n->qdepth));
	}
	return err;
}

static int measure(struct nvme *n, size_t size, unsigned long count)
{
	struct load l = { .count = count };
	double start;
	int err;

	err = nvme_check_namespace(n);
	if (err)
		return err;
	l.blocks = (uint32_t)(size / n->block_size);
	if (size > n->max_transfer || !l.blocks || l.blocks > n->blocks)
		return -EINVAL;
	l.places = n->blocks / l.blocks;
	start = now();
	err = read_all(n, &l);
	if (!err)
		printf("%.2f\n", (double)count / (now() - start));
	return err;
}

int main(int argc, char **argv)
{
	struct flatiommu_device *device;
	struct flatiommu *flat;
	struct nvme n;
	int err;

	if (argc != 6) {
		fputs("usage: nvme-io poll|irq BDF SIZE QDEPTH COUNT\n", stderr);
		return 2;
	}
	err = flatiommu_open(&flat);
	if (err)
		return 1;
	err = flatiommu_device_open(flat, argv[2], &device);
	if (err)
		log_error("%s", flatiommu_reason(flat));
	if (!err)
		err = nvme_open(&n, flat, device, (unsigned int)atoi(argv[4]), !strcmp(argv[1], "irq"));
	if (!err) {
		err = measure(&n, strtoul(argv[3], NULL, 0), strtoul(argv[5], NULL, 0));
		nvme_close(&n);
	}
	flatiommu_close(flat);
	if (err)
		log_error("%s", strerror(-err));
	return err ? 1 : 0;
}
