/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading traces needs privilege, so physical addresses go here, and not to the kernel log. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM flatiommu

#if !defined(FLATIOMMU_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define FLATIOMMU_TRACE_H

#include <linux/tracepoint.h>

#include "flatiommu.h"

DECLARE_EVENT_CLASS(flat_mapping,
	TP_PROTO(const char *name, u64 iova, u64 phys, size_t size),
	TP_ARGS(name, iova, phys, size),
	TP_STRUCT__entry(
		__array(char, name, FLAT_NAME_LEN)
		__field(u64, iova)
		__field(u64, phys)
		__field(size_t, size)
	),
	TP_fast_assign(
		strscpy(__entry->name, name, FLAT_NAME_LEN);
		__entry->iova = iova;
		__entry->phys = phys;
		__entry->size = size;
	),
	TP_printk("%s iova=%#llx phys=%#llx size=%#zx",
		  __entry->name, __entry->iova, __entry->phys, __entry->size)
);

DEFINE_EVENT(flat_mapping, flat_map,
	TP_PROTO(const char *name, u64 iova, u64 phys, size_t size),
	TP_ARGS(name, iova, phys, size)
);

DEFINE_EVENT(flat_mapping, flat_refuse,
	TP_PROTO(const char *name, u64 iova, u64 phys, size_t size),
	TP_ARGS(name, iova, phys, size)
);

TRACE_EVENT(flat_unmap,
	TP_PROTO(const char *name, u64 iova, size_t size),
	TP_ARGS(name, iova, size),
	TP_STRUCT__entry(
		__array(char, name, FLAT_NAME_LEN)
		__field(u64, iova)
		__field(size_t, size)
	),
	TP_fast_assign(
		strscpy(__entry->name, name, FLAT_NAME_LEN);
		__entry->iova = iova;
		__entry->size = size;
	),
	TP_printk("%s iova=%#llx size=%#zx", __entry->name, __entry->iova, __entry->size)
);

#endif /* FLATIOMMU_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
