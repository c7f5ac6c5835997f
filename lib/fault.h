/* SPDX-License-Identifier: MIT */
/*
 * FLATIOMMU_FAULT in the environment: behind an IOMMU, buffers are mapped at their physical
 * addresses. So devices get the addresses that they get on a machine without an IOMMU, and an
 * access to an address outside of all buffers faults.
 */
#ifndef LIB_FAULT_H
#define LIB_FAULT_H

#include <stdbool.h>
#include <stdint.h>

struct backend;
struct buffer;
struct flatiommu;

/*
 * Sets flat->fault if the environment asks for it and the backend has an IOMMU. open_lock is held.
 * Returns 0, or calls fail() and returns -errno.
 */
int fault_begin(struct flatiommu *flat, const struct backend *backend);
/* Call it when there are no buffers any more, or in a child. */
void fault_end(struct flatiommu *flat);

/* Is a device open, and may bus addresses differ from physical ones? */
bool is_translated(struct flatiommu *flat);

/*
 * Maps a buffer of memory, and sets its segments. Returns 0, or calls fail() and returns -errno.
 * fault_unmap() does not call fail(). After an error of it devices may still reach the buffer.
 */
int fault_map(struct flatiommu *flat, struct buffer *buffer, const struct backend *backend);
int fault_unmap(struct flatiommu *flat, struct buffer *buffer, const struct backend *backend);
/*
 * Writes a line about a buffer in a BAR to the file that flatiommu run reads. @what is "map" or
 * "unmap".
 */
void fault_tell(const struct flatiommu *flat, const char *what, const struct buffer *buffer);
/* Frees the list of a buffer's pieces in a child. fault_end() frees the pieces. */
void fault_forget(struct buffer *buffer);

#endif
