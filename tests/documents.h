/* SPDX-License-Identifier: MIT */
/* What the examples of the manual take for granted, so that tests/documents can compile each of them. */
#ifndef DOCUMENTS_H
#define DOCUMENTS_H

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <flatiommu.h>

#define REG_VERSION	0x00
#define REG_ADDRESS	0x08
#define REG_RING	0x10
#define REG_TAIL	0x18
#define REG_QUEUE	0x20
#define RING_LENGTH	64

struct list_entry {
	uint64_t address;
	uint32_t length;
};

struct completion {
	uint16_t id, status;
};

extern struct flatiommu *flat;
extern struct flatiommu_device *device;
extern struct flatiommu_dma *dma, *ring;
extern struct flatiommu_pool *pool;
extern struct list_entry list[];
extern struct completion *entry;
extern size_t offset, length;
extern void *regs;
extern uint64_t commands[], command;
extern uint32_t tail;
extern uint16_t phase, id;
extern int err, socket, fds[3];

int camera_buffer(void);
int read_version(void *version);
int set_up(struct flatiommu_device *device);
void send_fds(int socket, const int *fds, int n);
void receive_fds(int socket, int *fds, int n);
int example(void);

#endif
