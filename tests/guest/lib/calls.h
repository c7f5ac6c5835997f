/* SPDX-License-Identifier: MIT */
/* A table of the calls of /dev/flatiommu, for tests of the rules that hold for each of them. */
#ifndef CALLS_H
#define CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/flatiommu.h>

/*
 * Each call: its name twice, size of the argument's first version, whether the argument has flags
 * and is written to, the result with what call_argument() makes if the function has no map but a
 * history, and the errors that it may return. Errors that any call may return are not among these. FLATIOMMU_BUFFER
 * is a call of another file.
 */
#define CALLS(CALL) \
	CALL(INFO, info, 32, true, true, 0, ENODEV, ENOENT) \
	CALL(DECLARE, declare, 24, true, false, 0, EPERM, ENODEV, ENOENT) \
	CALL(LOOKUP, lookup, 48, true, true, -ENOENT, ENOENT, ENODEV, EPERM) \
	CALL(PIN, pin, 40, true, true, 0, ENODEV, EBUSY, ENOENT, EPERM) \
	CALL(UNPIN, unpin, 8, false, false, -ENOENT, ENOENT) \
	CALL(ALLOC, alloc, 40, true, true, 0, ENODEV, EBUSY, ERANGE, EPERM, EALREADY, EMFILE) \
	CALL(HISTORY, history, 40, true, true, 0, EPERM, ENODEV, ENOENT, ENODATA) \
	CALL(WHO, who, 56, true, true, 0, EPERM, ENODATA) \
	CALL(QUIET, quiet, 16, true, true, 0, EPERM, ENODEV)

union call_argument {
	uint32_t size;
#define MEMBER(NAME, name, ...) struct flatiommu_##name name;
	CALLS(MEMBER)
#undef MEMBER
	char bytes[4096];
};

struct call {
	const char *name;
	unsigned long number;
	uint32_t size;
	uint32_t first_size;
	bool has_flags;
	bool is_written;
	int result;
	const int *may;		/* ended by 0 */
};

/* In the order of CALLS(). */
extern const struct call calls[];
extern const unsigned int nr_calls;

#define for_each_call(call) for (call = calls; call < calls + nr_calls; call++)

/*
 * Makes an argument for the call with this number: zeros, or what it needs to succeed, or to fail
 * only because it finds nothing.
 * @function:	the function that the call is about; the argument may point to it
 * @memory:	address of memory, for a call that needs some
 * @array:	where a call writes segments or events to; it has room for one at least
 */
union call_argument call_argument(unsigned long number, const struct flatiommu_function *function,
				  const void *memory, void *array);

/* Returns the row of a call, or NULL. */
const struct call *call_of(unsigned long number);

#endif
