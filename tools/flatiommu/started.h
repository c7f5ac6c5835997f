/* SPDX-License-Identifier: MIT */
/* Programs that flatiommu run has started, and what of that they have lost. */
#ifndef STARTED_H
#define STARTED_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct started - how a process was started
 * @by_run:	by flatiommu run, or by a program that run has started
 * @groups:	the process sees IOMMU groups nevertheless
 * @why_not:	why the library is not loaded that would hide them, or NULL
 */
struct started {
	bool by_run, groups;
	const char *why_not;
};

/*
 * Fills @started in, for a process or "self". If the caller may not look at the process, it is as if
 * run had not started it.
 */
void started_read(struct started *started, const char *pid);

/* Writes why the process sees groups nevertheless, and the cure. */
void started_text(char *buf, size_t size, const struct started *started);

#endif
