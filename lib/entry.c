// SPDX-License-Identifier: MIT
/* The begin and the end of a program's call. */
#include <errno.h>

#include "internal.h"

bool is_ours(const struct flatiommu *flat)
{
	return *(const volatile char *)flat->ours;
}

int enter(struct entry *entry, struct flatiommu *flat)
{
	if (!flat)
		return -EINVAL;
	/* Before any lock: another thread of the parent may have held it. */
	if (!is_ours(flat))
		return -ECHILD;
	entry->flat = flat;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &entry->cancel);
	return 0;
}

int64_t leave(const struct entry *entry, int64_t ret)
{
	end_reasons(entry->flat, ret < 0, (int)ret);
	pthread_setcancelstate(entry->cancel, NULL);
	return ret;
}
