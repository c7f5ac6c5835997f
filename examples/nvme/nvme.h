/* SPDX-License-Identifier: MIT */
/*
 * One NVMe controller: an admin queue pair, an I/O queue pair, one namespace.
 */
#ifndef EXAMPLE_NVME_H
#define EXAMPLE_NVME_H

#include <flatiommu.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nvme_spec.h"

#define NVME_QDEPTH_MAX	256

/* A command from its submission to its collection; its index is its command identifier. */
struct nvme_command {
	uint8_t opcode;
	bool pending;		/* submitted, not completed */
	uint16_t status;
};

struct nvme_queue {
	uint16_t id;
	uint16_t entries;
	struct flatiommu_dma *sq_dma;
	struct flatiommu_dma *cq_dma;
	struct nvme_sqe *sq;
	struct nvme_cqe *cq;
	uint16_t sq_tail;
	uint16_t cq_head;
	uint16_t phase;		/* phase tag of a new completion: base 3.3.3.2 */
	int eventfd;		/* of its MSI-X vector; -1: polled */
	struct nvme_command commands[NVME_QDEPTH_MAX];
};

struct nvme_stats {
	uint64_t commands;
	uint64_t irq_completions;	/* found after an interrupt */
	uint64_t wakeups;		/* reads of an eventfd that had fired */
};

struct nvme {
	struct flatiommu *flat;
	struct flatiommu_device *device;
	const char *name;		/* of the device, for a person */
	char *regs;			/* BAR0 */
	size_t regs_size;
	uint64_t cap;
	uint32_t version;
	int ready_ms;			/* how long a change of CC.EN may take */
	int shutdown_ms;
	bool enabled;
	bool has_io_sq;
	bool has_io_cq;
	bool broken;			/* a command is lost: only a reset helps */

	struct flatiommu_dma *data;	/* an equal part for each command in flight */
	struct flatiommu_dma *lists;	/* of PRPs: a page for each command in flight */
	struct nvme_queue admin;
	struct nvme_queue io;
	int eventfds[2];
	int asked_for;			/* eventfd: the kernel asks for the device; -1: it does not */
	unsigned int vectors;		/* 0: polled */

	unsigned int qdepth;		/* maximum number of commands in flight */
	size_t max_transfer;		/* bytes of one command: MDTS and the buffer's part */
	size_t mdts_bytes;		/* SIZE_MAX: no limit */
	char model[41];
	char serial[21];
	char firmware[9];
	bool write_cache;
	uint32_t nsid;			/* 0: no namespace */
	uint32_t block_size;
	uint32_t metadata_size;
	uint64_t blocks;

	struct nvme_stats stats;
};

/* Functions return 0 or -errno. If the device is the cause, they also print it on stderr. */

/* Reads registers only. */
int nvme_probe(struct nvme *n, struct flatiommu *flat, struct flatiommu_device *device);

/* After nvme_close(), flatiommu_close() frees the buffers. */
int nvme_open(struct nvme *n, struct flatiommu *flat, struct flatiommu_device *device,
	      unsigned int qdepth, bool irq);
void nvme_close(struct nvme *n);

/* Call it before I/O: can this driver read and write the namespace? */
int nvme_check_namespace(const struct nvme *n);

/*
 * A slot, 0 to qdepth - 1, is a command in flight with its part of the data buffer. nvme_start()
 * hands it to the controller, nvme_finish() waits for it.
 */
char *nvme_slot_data(const struct nvme *n, unsigned int slot);
int nvme_start(struct nvme *n, unsigned int slot, uint8_t opcode, uint64_t lba, uint32_t blocks);
int nvme_finish(struct nvme *n, unsigned int slot);
/* Does the kernel ask for the device, for an unbind? */
bool nvme_is_asked_for(const struct nvme *n);
/* Makes sure that all written data is on the medium. No command may be in flight. */
int nvme_flush(struct nvme *n);

#endif
