/* SPDX-License-Identifier: MIT */
/*
 * Messages for errors of the kernel, with the cure. If an errno has several causes, these functions
 * first find out which one it is. tests/causes.list has all of them.
 */
#ifndef LIB_CAUSE_H
#define LIB_CAUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "capability.h"

struct buffer;
struct flatiommu;
struct sysfs_function;
struct flatiommu_device;

/* privilege.c: returns why this process has no CAP_SYS_RAWIO, with the cure; NULL if it has. */
const char *why_no_rawio(void);

/* explain_*() call fail() with the cause, and return @err. */

/* Opening the node @path failed, for the device @name or "". */
int explain_open(struct flatiommu *flat, const char *name, const char *path, int err);

/* Has this process the node @path open, in another context or without the library? */
bool is_open_here(const char *path);
/* The node @path can be open only once. Returns a text that says which program has it open. */
const char *why_busy(const char *path);
/* As why_busy(), for a character device: one program must have all functions of its group. */
const char *why_group_busy(const struct sysfs_function *function);

/*
 * The call @step, which takes a device over, failed. @module, vfio_iommu_type1 or iommufd, checks
 * for safe interrupts.
 */
int explain_attach(struct flatiommu_device *device, const char *step, int err, const char *module);

/* VFIO_GROUP_GET_DEVICE_FD failed. */
int explain_device_fd(struct flatiommu_device *device, int err);

/* cause-memory.c: a map failed. With @err 0 it only returns 0. */
int explain_map(struct flatiommu *flat, const struct buffer *buffer, int err);

/* FLATIOMMU_PIN of a dma-buf failed. */
int explain_dmabuf(struct flatiommu *flat, const struct buffer *buffer, int err);

/* FLATIOMMU_ALLOC for the device @name failed. */
int explain_reach(struct flatiommu *flat, const char *name, size_t length,
		  unsigned int address_bits, int err);

/* devnode.c: a call for the device @name failed, but not because of its memory. */
int explain_flat(struct flatiommu *flat, const char *name, const char *step, int err);

/* Allocating memory of the kind @pages, an enum flatiommu_dma_pages, failed. */
int explain_alloc(struct flatiommu *flat, size_t length, unsigned int pages, int err);

/**
 * struct meaning - the message for an errno of one call
 * @err:	-errno; 0 ends the table
 * @text:	the message, with the cure
 */
struct meaning {
	int err;
	const char *text;
};

/* The call @step on the object @what failed; the message is in the table @meanings. */
int explain_by(struct flatiommu *flat, const char *what, const char *step, int err,
	       const struct meaning *meanings);

#endif
