/* SPDX-License-Identifier: MIT */
/*
 * What an errno of the kernel means, with its cure. Where it has several causes, what tells them apart
 * is looked at first. tests/causes.list has them all.
 */
#ifndef LIB_CAUSE_H
#define LIB_CAUSE_H

#include <stdbool.h>
#include <stddef.h>

struct buffer;
struct flatiommu;
struct function;
struct flatiommu_device;

/* privilege.c: is this another user namespace than the one that drivers ask about? */
bool in_user_namespace(void);
/* As a driver asks for it. */
bool has_capability(unsigned int capability);
/* NULL: this process has CAP_SYS_RAWIO. Otherwise why not, and the cure. */
const char *why_no_rawio(void);

/* Each of these but why_busy() and why_group_busy() says why by fail(), and returns @err. */

/* Of opening the node @path, for a device or "". */
int explain_open(struct flatiommu *flat, const char *name, const char *path, int err);

/* Has this process the node @path open, in another context or without the library? */
bool is_open_here(const char *path);
/* Who has the node @path open, where there can be one only. */
const char *why_busy(const char *path);
/* The same of a character device, which nobody has who has not all of its group. */
const char *why_group_busy(const struct function *function);

/*
 * As a device is taken over by the call @step. The module, vfio_iommu_type1 or iommufd, is the one that
 * asks about interrupts.
 */
int explain_attach(struct flatiommu_device *device, const char *step, int err, const char *module);

/* Of VFIO_GROUP_GET_DEVICE_FD. */
int explain_device_fd(struct flatiommu_device *device, int err);

/* cause-memory.c: of a map. 0 without a word for 0. */
int explain_map(struct flatiommu *flat, const struct buffer *buffer, int err);

/* Of FLATIOMMU_ALLOC, for the device @name. */
int explain_reach(struct flatiommu *flat, const char *name, size_t length, unsigned int address_bits, int err);

/* The file flat.c: of a call for the device @name that has not to do with its memory. */
int explain_flat(struct flatiommu *flat, const char *name, const char *step, int err);

/* Of getting memory of that kind; an enum flatiommu_dma_pages. */
int explain_alloc(struct flatiommu *flat, size_t length, unsigned int pages, int err);

/**
 * struct meaning - what an errno of one call means
 * @err:	-errno; 0 ends the table
 * @text:	and the cure
 */
struct meaning {
	int err;
	const char *text;
};

/* What the call @step said of @what, by its table. */
int explain_by(struct flatiommu *flat, const char *what, const char *step, int err,
	       const struct meaning *meanings);

#endif
