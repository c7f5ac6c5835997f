// SPDX-License-Identifier: MIT
#undef _FORTIFY_SOURCE
#include "interpose.h"

#include <dlfcn.h>
#include <errno.h>

static struct real functions;
static int done;

#define REAL_FIND(result, name, arguments) \
	*(void **)&functions.name = dlsym(RTLD_NEXT, #name);

const struct real *real(void)
{
	int err = errno;

	/* threads that do this at once write the same values */
	if (!done) {
		REAL_FUNCTIONS(REAL_FIND)
		done = 1;
	}
	errno = err;
	return &functions;
}

__attribute__((constructor(101))) static void begin(void)
{
	real();
}
