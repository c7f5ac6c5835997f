// SPDX-License-Identifier: MIT
/*
 * Calls that end a mapping, or replace it. The lock is held from before the call until the pins are
 * dropped: if another thread gets the same addresses, its reads of pagemap come after that.
 */
#undef _FORTIFY_SOURCE
#include "interpose.h"

#include <stdbool.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "lock.h"
#include "node.h"
#include "pins.h"
#include "ranges.h"
#include "raw.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* Pages: the first one, and the one after the last. */
struct pages {
	uint64_t start, end;
};

static struct pages pages_of(const void *addr, size_t length)
{
	uint64_t at = (uintptr_t)addr, size = 1ull << node_page_shift(), end;

	if (__builtin_add_overflow(at, length, &end) || end > UINT64_MAX - size)
		end = UINT64_MAX - size;
	return (struct pages){ at >> node_page_shift(), (end + size - 1) >> node_page_shift() };
}

static bool may_be_pinned(struct pages pages)
{
	return pages.start < pages.end && ranges_may_have(pages.start, pages.end);
}

/* Drops the pins of unmapped pages. Not @all: the call has failed, but may have unmapped some. */
static void end_pages(struct pages pages, bool all)
{
	if (all)
		pins_drop(pages.start, pages.end);
	else
		pins_sweep(false);
}

INTERPOSER int munmap(void *addr, size_t length)
{
	struct pages pages = pages_of(addr, length);
	const struct real *libc = real();
	sigset_t before;
	int ret;

	if (!may_be_pinned(pages))
		return libc->munmap(addr, length);
	lock(&before);
	ret = libc->munmap(addr, length);
	end_pages(pages, !ret);
	unlock(&before);
	return ret;
}

INTERPOSER void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	struct pages pages = pages_of(addr, length);
	const struct real *libc = real();
	sigset_t before;
	void *ret;

	if (!(flags & MAP_FIXED) || !may_be_pinned(pages))
		return libc->mmap(addr, length, prot, flags, fd, offset);
	lock(&before);
	ret = libc->mmap(addr, length, prot, flags, fd, offset);
	end_pages(pages, ret != MAP_FAILED);
	unlock(&before);
	return ret;
}

INTERPOSER void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
	__attribute__((alias("mmap")));

/* After mremap(): the same pages are at another address, and stay pinned. */
static void moved(struct pages from, struct pages to, bool is_copy)
{
	uint64_t end = from.start + (to.end - to.start);

	if (from.start != to.start) {
		pins_drop(to.start, to.end);
		if (is_copy)
			return;
		pins_move(from.start, end < from.end ? end : from.end, to.start);
	}
	if (end < from.end)
		pins_drop(end, from.end);
}

INTERPOSER void *mremap(void *addr, size_t old, size_t length, int flags, ...)
{
	struct pages from = pages_of(addr, old);
	const struct real *libc = real();
	sigset_t before;
	void *to, *ret;
	va_list args;

	va_start(args, flags);
	to = flags & MREMAP_FIXED ? va_arg(args, void *) : NULL;
	va_end(args);
	if (!may_be_pinned(from) && !(flags & MREMAP_FIXED && may_be_pinned(pages_of(to, length))))
		return libc->mremap(addr, old, length, flags, to);
	lock(&before);
	ret = libc->mremap(addr, old, length, flags, to);
	if (ret == MAP_FAILED)
		pins_sweep(false);
	else
		moved(from, pages_of(ret, length), !old);
	unlock(&before);
	return ret;
}

INTERPOSER int madvise(void *addr, size_t length, int advice)
{
	struct pages pages = pages_of(addr, length);
	const struct real *libc = real();
	sigset_t before;
	int ret;

	if ((advice != MADV_DONTNEED && advice != MADV_DONTNEED_LOCKED && advice != MADV_REMOVE &&
	     advice != MADV_GUARD_INSTALL) || !may_be_pinned(pages))
		return libc->madvise(addr, length, advice);
	lock(&before);
	ret = libc->madvise(addr, length, advice);
	end_pages(pages, !ret);
	unlock(&before);
	return ret;
}

INTERPOSER int remap_file_pages(void *addr, size_t length, int prot, size_t offset, int flags)
{
	struct pages pages = pages_of(addr, length);
	const struct real *libc = real();
	sigset_t before;
	int ret;

	if (!may_be_pinned(pages))
		return libc->remap_file_pages(addr, length, prot, offset, flags);
	lock(&before);
	ret = libc->remap_file_pages(addr, length, prot, offset, flags);
	end_pages(pages, !ret);
	unlock(&before);
	return ret;
}

static void end_heap(const char *before, const char *now)
{
	sigset_t set;

	if (now >= before || !may_be_pinned(pages_of(now, (size_t)(before - now))))
		return;
	lock(&set);
	pins_sweep(false);
	unlock(&set);
}

INTERPOSER int brk(void *end)
{
	const struct real *libc = real();
	char *before = libc->sbrk(0);
	int ret = libc->brk(end);

	if (!ret)
		end_heap(before, end);
	return ret;
}

INTERPOSER void *sbrk(intptr_t more)
{
	char *before = real()->sbrk(more);

	if (more < 0 && before != (void *)-1)
		end_heap(before, before + more);
	return before;
}

/* Only the kernel knows the length of the shared memory, so all pins are checked. */
INTERPOSER int shmdt(const void *addr)
{
	const struct real *libc = real();
	sigset_t before;
	int ret;

	if (!may_be_pinned(pages_of(addr, SIZE_MAX)))
		return libc->shmdt(addr);
	lock(&before);
	ret = libc->shmdt(addr);
	pins_sweep(false);
	unlock(&before);
	return ret;
}

/* With SHM_REMAP it replaces other mappings. */
INTERPOSER void *shmat(int id, const void *addr, int flags)
{
	const struct real *libc = real();
	struct shmid_ds segment;
	sigset_t before;
	bool is_known;
	void *ret;

	if (!(flags & SHM_REMAP) || !may_be_pinned(pages_of(addr, SIZE_MAX)))
		return libc->shmat(id, addr, flags);
	lock(&before);
	ret = libc->shmat(id, addr, flags);
	is_known = ret != (void *)-1 && raw(SYS_shmctl, id, IPC_STAT, &segment) >= 0;
	end_pages(pages_of(ret, is_known ? segment.shm_segsz : 0), is_known);
	unlock(&before);
	return ret;
}

void file_was_cut(void)
{
	sigset_t before;

	if (!ranges_may_have(0, UINT64_MAX))
		return;
	lock(&before);
	pins_sweep(false);
	unlock(&before);
}

INTERPOSER int truncate(const char *path, off_t length)
{
	int ret = real()->truncate(path, length);

	if (!ret)
		file_was_cut();
	return ret;
}

INTERPOSER int ftruncate(int fd, off_t length)
{
	bool is_shorter = false;
	struct stat st;
	int ret;

	/* programs make many files in hugetlbfs longer: only a shorter file loses pages */
	if (ranges_may_have(0, UINT64_MAX))
		is_shorter = raw(SYS_fstat, fd, &st) || length < st.st_size;
	ret = real()->ftruncate(fd, length);
	if (is_shorter && !ret)
		file_was_cut();
	return ret;
}

INTERPOSER int fallocate(int fd, int mode, off_t offset, off_t length)
{
	int ret = real()->fallocate(fd, mode, offset, length);

	if (mode & ~FALLOC_FL_KEEP_SIZE && !ret)
		file_was_cut();
	return ret;
}

INTERPOSER int truncate64(const char *path, off_t length) __attribute__((alias("truncate")));
INTERPOSER int ftruncate64(int fd, off_t length) __attribute__((alias("ftruncate")));
INTERPOSER int fallocate64(int fd, int mode, off_t offset, off_t length)
	__attribute__((alias("fallocate")));
