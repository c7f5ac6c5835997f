// SPDX-License-Identifier: MIT
/* Causes of failures to map or pin memory. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "internal.h"
#include "memory.h"

#define ENTRY_LIMIT "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

/* Returns the bytes that are pinned: VmLck has those of type1 and the module, VmPin iommufd's. */
static unsigned long long locked_bytes(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long long kib, sum = 0;
	char line[128];

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "VmLck: %llu", &kib) == 1 || sscanf(line, "VmPin: %llu", &kib) == 1)
			sum += kib * 1024;
	if (status)
		fclose(status);
	return sum;
}

static int explain_no_memory(struct flatiommu *flat, const struct buffer *buffer)
{
	unsigned long long locked = locked_bytes();
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY || has_capability(CAP_IPC_LOCK))
		return fail(flat, -ENOMEM, "%zu bytes at %p cannot be pinned: the kernel or this "
			    "cgroup has no memory left for it", buffer->span,
			    (void *)buffer->pages);
	if (locked + buffer->span > limit.rlim_cur)
		return fail(flat, -ENOMEM, "%zu bytes at %p cannot be pinned: more than RLIMIT_MEMLOCK (%llu "
			    "bytes), with the %llu that are pinned already. Cure: ulimit -l unlimited",
			    buffer->span, (void *)buffer->pages,
			    (unsigned long long)limit.rlim_cur, locked);
	/* iommufd counts for the user, in all processes. The kernel does not report that sum. */
	return fail(flat, -ENOMEM, "%zu bytes at %p cannot be pinned: this user's processes "
		    "together need more than RLIMIT_MEMLOCK (%llu bytes), or the kernel has no "
		    "memory. Cure: ulimit -l unlimited",
		    buffer->span, (void *)buffer->pages, (unsigned long long)limit.rlim_cur);
}

/* Returns what is wrong with the memory, by the process's list of mappings. */
static const char *why_fault(const struct buffer *buffer)
{
	unsigned long at = (unsigned long)buffer->pages, end = at + buffer->span, first, last;
	const char *why = "the kernel does not pin memory of this kind (of a device, or of a file)";
	char line[512], flags[8];
	FILE *maps;

	if (buffer->is_dmabuf)
		return "VFIO does not attach to dma-bufs of other drivers, and pins no memory of them. "
		       "Cure: memory of the program's that the other driver imports (flatiommu_dmabuf_export())";
	maps = fopen("/proc/self/maps", "re");
	if (!maps)
		return "not mapped, read-only, or of a kind that the kernel does not pin";
	while (at < end && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %7s", &first, &last, flags) != 3 || last <= at)
			continue;
		if (first > at)
			break;
		if (flags[1] != 'w' && !buffer->read_only) {
			why = "some of it is read-only";
			at = end;
			break;
		}
		at = last;
	}
	fclose(maps);
	return at < end ? "not all of it is mapped" : why;
}

int explain_map(struct flatiommu *flat, const struct buffer *buffer, int err)
{
	switch (err) {
	case 0:
		return 0;
	case -ENOMEM:
		return explain_no_memory(flat, buffer);
	case -EFAULT:
		return fail(flat, err, "%zu bytes at %p cannot be pinned: %s", buffer->span,
			    (void *)buffer->pages, why_fault(buffer));
	case -ENOSPC:
		return fail(flat, err, "type1 has no mapping left for %zu bytes at %p. Cure: fewer, larger "
			    "buffers, or a higher " ENTRY_LIMIT, buffer->span, (void *)buffer->pages);
	case -EADDRNOTAVAIL:
		return fail(flat, err, "flatiommu.ko refuses to map %zu bytes at %p; the kernel log says "
			    "why", buffer->span, (void *)buffer->pages);
	default:
		return fail(flat, err, "%zu bytes at %p cannot be mapped: %s", buffer->span,
			    (void *)buffer->pages, ERRNO(err));
	}
}

int explain_dmabuf(struct flatiommu *flat, const struct buffer *buffer, int err)
{
	switch (err) {
	case -E2BIG:
	case -EOPNOTSUPP:
		return fail(flat, -EOPNOTSUPP, "a dma-buf of %zu bytes: this flatiommu.ko is older "
			    "and attaches to none. Cure: load that of this library's version",
			    buffer->span);
	case -EFAULT:
		if (!buffer->read_only && (fcntl(buffer->file, F_GETFL) & O_ACCMODE) == O_RDONLY)
			return fail(flat, err, "a dma-buf of %zu bytes: its file is open for reading only. "
				    "Cure: FLATIOMMU_DMA_READ_ONLY, or O_RDWR where it is made",
				    buffer->span);
		return fail(flat, err, "a dma-buf of %zu bytes: its exporter gives its memory to "
			    "some devices only, or it is no memory of the machine", buffer->span);
	default:
		return explain_flat(flat, "a dma-buf", "FLATIOMMU_PIN", err);
	}
}

int explain_reach(struct flatiommu *flat, const char *name, size_t length,
		  unsigned int address_bits, int err)
{
	unsigned long long locked = locked_bytes();
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	switch (err) {
	case -ENOMEM:
		getrlimit(RLIMIT_MEMLOCK, &limit);
		if (locked + length > limit.rlim_cur && !has_capability(CAP_IPC_LOCK))
			return fail(flat, err, "%zu bytes for %s: more than RLIMIT_MEMLOCK (%llu bytes), "
				    "with the %llu that are locked already. Cure: ulimit -l unlimited",
				    length, name, (unsigned long long)limit.rlim_cur, locked);
		return fail(flat, err, "%zu bytes for %s: the machine has no such memory and can "
			    "free none, or this cgroup is at its limit", length, name);
	case -ERANGE:
		return fail(flat, err, "%zu bytes within the %u address bits of %s: the machine "
			    "has no such memory and can free none, or this cgroup is at its limit. "
			    "Cure: a smaller buffer, or several",
			    length, address_bits, name);
	case -EINVAL:
		return fail(flat, err, "%zu bytes for %s: there is no such NUMA node", length, name);
	case -EMFILE:
	case -ENFILE:
		return fail(flat, err, "%zu bytes for %s: no more files can be opened: %s. Cure: ulimit -n", length,
			    name, ERRNO(err));
	default:
		return explain_flat(flat, name, "FLATIOMMU_ALLOC", err);
	}
}

/* Returns the value of a file about huge pages of one size, or -1 if there is no such size. */
static long read_huge(size_t size, const char *name)
{
	char path[96], text[32];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%zukB/%s_hugepages", size / 1024, name);
	return read_line(path, text, sizeof(text)) ? -1 : atol(text);
}

int explain_alloc(struct flatiommu *flat, size_t length, unsigned int pages, int err)
{
	size_t size = huge_page_size(pages);
	char kind[32] = "ordinary";
	long all, left;

	if (size)
		snprintf(kind, sizeof(kind), "%zu %s", size >> (size < 1ul << 30 ? 20 : 30),
			 size < 1ul << 30 ? "MiB" : "GiB");

	/* mbind() is the only step that needs a privilege. */
	if (err == -EPERM)
		return fail(flat, err, "%zu bytes of memory (%s pages): %s: a seccomp filter "
			    "refuses mbind() to this program. Cure: --cap-add SYS_NICE", length,
			    kind, ERRNO(err));
	if (!size || err != -ENOMEM)
		return fail(flat, err, "%zu bytes of memory (%s pages): %s", length, kind, ERRNO(err));
	all = read_huge(size, "nr");
	left = read_huge(size, "free") - read_huge(size, "resv");
	if (all < 0)
		return fail(flat, err, "%zu bytes of memory (%s pages): %s: this machine has no pages of that "
			    "size", length, kind, ERRNO(err));
	if (left > 0 && (size_t)left >= (length - 1) / size + 1)
		return fail(flat, err, "%zu bytes of memory (%s pages): %s: %ld are free, but this "
			    "cgroup (hugetlb.*.max) is at its limit, or the requested node has too "
			    "few", length, kind,
			    ERRNO(err), left);
	if (pages == FLATIOMMU_PAGES_1G)
		return fail(flat, err, "%zu bytes of memory (%s pages): %s: %ld are reserved, %ld of them free. Cure: "
			    "hugepagesz=1G hugepages=N on the kernel's command line", length, kind, ERRNO(err), all,
			    left);
	return fail(flat, err, "%zu bytes of memory (%s pages): %s: %ld are reserved, %ld of them free. Cure: "
		    "sysctl vm.nr_hugepages=N", length, kind, ERRNO(err), all, left);
}
