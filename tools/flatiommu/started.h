/* SPDX-License-Identifier: MIT */
/* Programs that flatiommu run has started, and why they may see IOMMU groups nevertheless. */
#ifndef STARTED_H
#define STARTED_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct started - how a process was started
 * @by_run:	by flatiommu run, or by a program that run has started
 * @groups:	the process sees IOMMU groups nevertheless
 * @why_not:	why the library, which would hide them, is not loaded, or NULL
 */
struct started {
	bool by_run, groups;
	const char *why_not;
};

/*
 * Reads how a process, or "self", was started. @by_run is false, and nothing else is set, also if
 * the caller may not look at the process.
 */
void started_read(struct started *started, const char *pid);

/* Writes why the process sees groups nevertheless, and the cure. */
void started_text(char *buf, size_t size, const struct started *started);

#endif
