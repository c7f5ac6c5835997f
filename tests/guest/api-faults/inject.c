// SPDX-License-Identifier: MIT
#include "inject.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/flatiommu.h>
#include <linux/vfio.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../../lib/iommufd_abi.h"
#include "mem.h"
#include "sysfs.h"

#define WRAP(type, name, ...)				\
	type __real_##name(__VA_ARGS__);		\
	type __wrap_##name(__VA_ARGS__);		\
	type __wrap_##name(__VA_ARGS__)

#define MAX_RANGES 64

#ifndef SANITIZED
#define SANITIZED 0
#endif

static struct {
	bool armed, rest, hit, minor;
	unsigned int nth, calls;
	enum lie lie;
	char what[160];
} fault;

static struct {
	unsigned long request;
	int answer;
} next_answer;


/* Memory that the kernel has mapped for devices, or pinned. */
static struct range {
	const char *addr;
	size_t size;
	int file;		/* that holds it; -1: closed meanwhile */
	uint64_t key;		/* what it is undone by */
	bool kept;		/* the call that undoes it failed */
	bool is_map;		/* by VFIO or iommufd, not a pin */
} ranges[MAX_RANGES];

static long allocations;
static unsigned int early;
static const char *own;
static size_t own_size;

void fault_arm(unsigned int nth, bool rest)
{
	enum lie lie = fault.lie;

	memset(&fault, 0, sizeof(fault));
	fault.lie = lie;
	fault.nth = nth;
	fault.rest = rest;
	fault.armed = true;
}

const char *fault_disarm(void)
{
	fault.armed = false;
	fault.lie = LIE_NONE;
	return fault.hit ? fault.what : NULL;
}

bool fault_was_minor(void)
{
	return fault.minor;
}

void fault_answer(unsigned long request, int answer)
{
	next_answer.request = request;
	next_answer.answer = answer;
}

void fault_lie(enum lie lie)
{
	fault.lie = lie;
}

/* Is this call the one? Sets errno then. */
static bool fails(int error, bool minor, const char *format, ...)
{
	va_list args;

	if (!fault.armed)
		return false;
	fault.calls++;
	if (fault.calls < fault.nth || (fault.calls > fault.nth && !fault.rest))
		return false;
	if (!fault.hit) {
		va_start(args, format);
		vsnprintf(fault.what, sizeof(fault.what), format, args);
		va_end(args);
		fault.minor = minor;
	}
	fault.hit = true;
	errno = error;
	return true;
}

/* Memory of the program. */

WRAP(void *, malloc, size_t size)
{
	void *memory = fails(ENOMEM, false, "malloc of %zu", size) ? NULL : __real_malloc(size);

	allocations += !!memory;
	return memory;
}

WRAP(void *, calloc, size_t count, size_t size)
{
	void *memory = NULL;

	if (!fails(ENOMEM, false, "calloc of %zu x %zu", count, size))
		memory = __real_calloc(count, size);
	allocations += !!memory;
	return memory;
}

WRAP(void *, realloc, void *old, size_t size)
{
	bool minor = old && size <= malloc_usable_size(old);
	void *memory = NULL;

	if (!fails(ENOMEM, minor, "realloc of %zu", size))
		memory = __real_realloc(old, size);
	allocations += memory && !old;
	return memory;
}

WRAP(void, free, void *memory)
{
	allocations -= !!memory;
	__real_free(memory);
}

/* Files. */

WRAP(int, open, const char *path, int flags, mode_t mode)
{
	return fails(EMFILE, false, "open of %s", path) ? -1 : __real_open(path, flags, mode);
}

WRAP(DIR *, opendir, const char *path)
{
	return fails(EMFILE, false, "opendir of %s", path) ? NULL : __real_opendir(path);
}

WRAP(int, access, const char *path, int mode)
{
	/* What cannot be looked at is tried. */
	bool minor = !strcmp(path, "/sys/class/vfio");

	return fails(EACCES, minor, "access of %s", path) ? -1 : __real_access(path, mode);
}

WRAP(ssize_t, readlink, const char *path, char *text, size_t size)
{
	/* Nobody needs to know which IOMMU it is. */
	bool minor = !strcmp(last_part(path), "iommu");

	return fails(ENOMEM, minor, "readlink of %s", path) ? -1 : __real_readlink(path, text, size);
}

WRAP(ssize_t, read, int fd, void *data, size_t size)
{
	return fails(EIO, false, "read of %zu", size) ? -1 : __real_read(fd, data, size);
}

WRAP(ssize_t, write, int fd, const void *data, size_t size)
{
	return fails(EIO, false, "write of %zu", size) ? -1 : __real_write(fd, data, size);
}

WRAP(ssize_t, pread, int fd, void *data, size_t size, off_t at)
{
	return fails(EIO, false, "pread of %zu at %#jx", size, (uintmax_t)at) ? -1 :
	       __real_pread(fd, data, size, at);
}

WRAP(ssize_t, pwrite, int fd, const void *data, size_t size, off_t at)
{
	return fails(EIO, false, "pwrite of %zu at %#jx", size, (uintmax_t)at) ? -1 :
	       __real_pwrite(fd, data, size, at);
}

WRAP(int, fstat, int fd, struct stat *st)
{
	return fails(EIO, false, "fstat") ? -1 : __real_fstat(fd, st);
}

WRAP(int, ftruncate, int fd, off_t size)
{
	return fails(ENOSPC, false, "ftruncate") ? -1 : __real_ftruncate(fd, size);
}

WRAP(int, memfd_create, const char *name, unsigned int flags)
{
	return fails(EMFILE, false, "memfd_create of %s", name) ? -1 : __real_memfd_create(name, flags);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
	va_list args;
	long arg;

	va_start(args, command);
	arg = va_arg(args, long);
	va_end(args);
	return fails(EMFILE, false, "fcntl %d", command) ? -1 : __real_fcntl(fd, command, arg);
}

WRAP(int, close, int fd)
{
	struct range *r;

	/* What it held no device reaches any more; what was to be kept is still there. */
	for (r = ranges; r < ranges + MAX_RANGES; r++) {
		if (r->addr && r->file == fd) {
			if (!r->kept)
				r->addr = NULL;
			r->file = -1;
		}
	}
	return __real_close(fd);
}

/* Mappings. */

WRAP(void *, mmap, void *addr, size_t size, int prot, int flags, int fd, off_t at)
{
	return fails(ENOMEM, false, "mmap of %zu, flags %#x", size, (unsigned int)flags) ? MAP_FAILED :
	       __real_mmap(addr, size, prot, flags, fd, at);
}

WRAP(int, munmap, void *addr, size_t size)
{
	const struct range *r;

	for (r = ranges; r < ranges + MAX_RANGES; r++)
		if (r->addr && r->file >= 0 && r->addr < (char *)addr + size &&
		    (char *)addr < r->addr + r->size)
			early++;
	return __real_munmap(addr, size);
}

WRAP(int, madvise, void *addr, size_t size, int advice)
{
	return fails(ENOMEM, advice != MADV_POPULATE_WRITE, "madvise %d", advice) ? -1 :
	       __real_madvise(addr, size, advice);
}

/* mbind() */
WRAP(long, syscall, long number, long a, long b, long c, long d, long e, long f)
{
	return fails(EIO, false, "system call %ld", number) ? -1 :
	       __real_syscall(number, a, b, c, d, e, f);
}

/* What the kernel maps for devices. */

static struct range *range_of(int file, uint64_t key)
{
	struct range *r;

	for (r = ranges; r < ranges + MAX_RANGES; r++)
		if (r->addr && r->file == file && r->key == key)
			return r;
	return NULL;
}

static void add(int file, uint64_t key, uint64_t addr, uint64_t size, bool is_map)
{
	struct range *r;

	for (r = ranges; r < ranges + MAX_RANGES && r->addr; r++)
		;
	if (r == ranges + MAX_RANGES)
		abort();
	*r = (struct range){ .addr = (const char *)addr, .size = size, .file = file, .key = key,
			     .is_map = is_map };
}

static void note_mapped(int file, unsigned long request, const void *arg)
{
	const struct vfio_iommu_type1_dma_map *type1 = arg;
	const struct ioas_map *ioas = arg;
	const struct flatiommu_pin *pin = arg;

	/* A hot reset has the same number. */
	if (request == VFIO_IOMMU_MAP_DMA && type1->argsz == sizeof(*type1))
		add(file, type1->iova, type1->vaddr, type1->size, true);
	else if (request == IOAS_MAP)
		add(file, ioas->iova, ioas->user_va, ioas->length, true);
	else if (request == FLATIOMMU_PIN)
		add(file, pin->out_pin, pin->vaddr, pin->length, false);
}

/* The range that a call undoes, or NULL. */
static struct range *undone(int file, unsigned long request, const void *arg)
{
	const struct vfio_iommu_type1_dma_unmap *type1 = arg;
	const struct ioas_unmap *ioas = arg;
	const struct flatiommu_unpin *pin = arg;

	if (request == VFIO_IOMMU_UNMAP_DMA)
		return range_of(file, type1->iova);
	if (request == IOAS_UNMAP)
		return range_of(file, ioas->iova);
	return request == FLATIOMMU_UNPIN ? range_of(file, pin->pin) : NULL;
}

static void lie(unsigned long request, void *arg)
{
	struct flatiommu_lookup *lookup = arg;
	struct ioas_get_pa *get_pa = arg;
	bool flat = request == FLATIOMMU_LOOKUP;

	if (fault.lie == LIE_NOTHING) {
		if (flat)
			lookup->nr_segments = 0;
		else
			get_pa->length = 0;
		return;
	}
	if (flat)
		((struct flatiommu_segment *)lookup->segments)[0].address |= 1ull << 50;
	else
		get_pa->out_phys |= 1ull << 50;
	fault.lie = LIE_NONE;
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct range *range;
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (next_answer.request == request) {
		next_answer.request = 0;
		if (next_answer.answer >= 0)
			return next_answer.answer;
		errno = -next_answer.answer;
		return -1;
	}
	range = undone(fd, request, arg);
	if (fails(EREMOTEIO, range, "ioctl %c %#lx", (char)(request >> 8), request & 0xff)) {
		if (range)
			range->kept = true;
		return -1;
	}
	ret = __real_ioctl(fd, request, arg);
	if (ret)
		return ret;
	if (range)
		range->addr = NULL;
	note_mapped(fd, request, arg);
	if (fault.armed && fault.lie && (request == FLATIOMMU_LOOKUP || request == IOAS_NOIOMMU_GET_PA))
		lie(request, arg);
	return 0;
}

/* A range may be in the table more than once: pinned for one device each. */
static bool is_again(const struct range *r)
{
	const struct range *other;

	for (other = ranges; other < r; other++)
		if (other->addr == r->addr && other->kept)
			return true;
	return false;
}

static bool is_kept(const struct range *r)
{
	return r->addr && r->kept && (r->addr >= own + own_size || own >= r->addr + r->size) &&
	       !is_again(r);
}

static size_t kept_bytes(void)
{
	const struct range *r;
	size_t bytes = 0;

	for (r = ranges; r < ranges + MAX_RANGES; r++)
		if (is_kept(r))
			bytes += r->size;
	return bytes;
}

static bool anything_kept(void)
{
	const struct range *r;

	for (r = ranges; r < ranges + MAX_RANGES; r++)
		if (r->addr && r->kept)
			return true;
	return false;
}

/* The library's records of IOVAs that are still mapped, until it closes the file. */
static long kept_records(void)
{
	const struct range *r;
	long n = 0;

	for (r = ranges; r < ranges + MAX_RANGES; r++)
		n += r->addr && r->kept && r->is_map && r->file >= 0;
	return n;
}

void kept_free(void)
{
	struct range *r;

	/* From the last one on, as is_again() looks at those before. */
	for (r = ranges + MAX_RANGES; r-- > ranges;) {
		if (is_kept(r))
			__real_munmap((void *)r->addr, r->size);
		if (r->kept)
			r->addr = NULL;
	}
}

unsigned int let_go_too_early(void)
{
	return early;
}

void usage_own(const void *addr, size_t size)
{
	own = addr;
	own_size = size;
}

/* All but what malloc() and the stack grow by. */
static size_t mapped_bytes(void)
{
	static char text[256 << 10];
	unsigned long start, end;
	size_t bytes = 0;
	char *line;

	if (SANITIZED || read_text("/proc/self/maps", text, sizeof(text)) < 0)
		return 0;
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2 && !strstr(line, "[heap]") &&
		    !strstr(line, "[stack]"))
			bytes += end - start;
	return bytes - kept_bytes();
}

void usage_take(struct usage *usage)
{
	*usage = (struct usage){
		.files = count_entries("/proc/self/fd"),
		.allocations = allocations - kept_records(),
		.mapped = mapped_bytes(),
		.pins = anything_kept() ? 0 : pins(),
	};
}
