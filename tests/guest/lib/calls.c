// SPDX-License-Identifier: MIT
/* The calls of /dev/flatiommu, and an argument for each of them. */
#include <errno.h>
#include <stddef.h>

#include "calls.h"

#define NOWHERE FLATIOMMU_LOOKUP_FIRST

const struct call calls[] = {
#define ROW(NAME, name, first_size, has_flags, is_written, result, ...) \
	{ #NAME, FLATIOMMU_##NAME, sizeof(struct flatiommu_##name), first_size, has_flags, \
	  is_written, result, (const int[]){ __VA_ARGS__, 0 } },
	CALLS(ROW)
#undef ROW
};

const unsigned int nr_calls = sizeof(calls) / sizeof(calls[0]);

const struct call *call_of(unsigned long number)
{
	const struct call *call;

	for_each_call(call)
		if (call->number == number)
			return call;
	return NULL;
}

union call_argument call_argument(unsigned long number, const struct flatiommu_function *function,
				  const void *memory, void *array)
{
	union call_argument arg = { .bytes = { 0 } };

	arg.size = call_of(number)->size;
	switch (number) {
	case FLATIOMMU_INFO:
		arg.info.flags = FLATIOMMU_INFO_FUNCTION;
		arg.info.function = *function;
		break;
	case FLATIOMMU_DECLARE:
		arg.declare.nr_functions = 1;
		arg.declare.functions = (uintptr_t)function;
		break;
	case FLATIOMMU_LOOKUP:
		arg.lookup.function = *function;
		arg.lookup.nr_segments = 1;
		arg.lookup.start = NOWHERE;
		arg.lookup.length = 1;
		arg.lookup.segments = (uintptr_t)array;
		break;
	case FLATIOMMU_PIN:
		arg.pin.nr_functions = 1;
		arg.pin.functions = (uintptr_t)function;
		arg.pin.vaddr = (uintptr_t)memory;
		arg.pin.length = 1;
		break;
	case FLATIOMMU_UNPIN:
		arg.unpin.pin = 12345;
		break;
	case FLATIOMMU_ALLOC:
		arg.alloc.function = *function;
		arg.alloc.address_bits = 32;
		arg.alloc.node = -1;
		arg.alloc.length = 1;
		break;
	case FLATIOMMU_HISTORY:
		arg.history.function = *function;
		arg.history.nr_events = 1;
		arg.history.events = (uintptr_t)array;
		break;
	case FLATIOMMU_WHO:
		arg.who.nr_events = 1;
		arg.who.length = 1;
		arg.who.events = (uintptr_t)array;
		break;
	}
	return arg;
}
