/* SPDX-License-Identifier: MIT */
/*
 * Copies blocks from the controller to a file, and from a file to the controller.
 */
#ifndef EXAMPLE_COPY_H
#define EXAMPLE_COPY_H

#include <signal.h>
#include <stdint.h>

#include "nvme.h"

/* Return 0, -EINTR soon after *stop is set, or print the cause on stderr and return -errno. */
int copy_read(struct nvme *n, uint64_t lba, uint64_t count, int fd,
	      const volatile sig_atomic_t *stop);
int copy_write(struct nvme *n, uint64_t lba, int fd, const volatile sig_atomic_t *stop);

#endif
