// SPDX-License-Identifier: MIT
/* Buffers: memory that is mapped for all devices of a context, and its bus addresses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"
#include "memory.h"

#define BATCH		512	/* segments looked up at a time */
#define HUGE_TRIES	4096	/* tries for memory within reach; mostly the pool has fewer pages */
#define DRAWN_SIZE	(64ul << 20)	/* bytes of ordinary memory to try */

#define KNOWN_FLAGS (FLATIOMMU_DMA_NO_FALLBACK | FLATIOMMU_DMA_ON_NODE | FLATIOMMU_DMA_CONTIGUOUS | \
		     FLATIOMMU_DMA_SHARED | FLATIOMMU_DMA_READ_ONLY)

/*
 * IOVAs that are only keys lie above all memory: if a program gives one to a device by mistake, it
 * reaches nothing. Real IOVAs are above 4 GiB, if possible, which leaves those below to devices
 * with few address bits.
 */
#define ABOVE_MEMORY	(1ull << 52)
#define ABOVE_32_BITS	(1ull << 32)
#define LOWEST		(1ull << 16)

static bool is_any_set(const uint64_t *words, size_t count)
{
	uint64_t any = 0;

	while (count)
		any |= words[--count];
	return any;
}

static uint64_t last_address(unsigned int bits)
{
	return bits && bits < 64 ? (1ull << bits) - 1 : UINT64_MAX;
}

static int alloc_iova(struct flatiommu *flat, struct buffer *buffer, unsigned int address_bits)
{
	const struct backend *backend = flat->backend;
	uint64_t max = backend->look_up ? UINT64_MAX : last_address(address_bits);
	uint64_t align = small_page_size();
	int err;

	if (buffer->wanted) {
		err = iova_take(&flat->iovas, buffer->wanted, buffer->span);
		if (err)
			return fail(flat, err, "no memory for an IOVA");
		buffer->iova = buffer->wanted;
		return 0;
	}
	/* Align the IOVA, so that the IOMMU's tables can have huge pages, too. */
	if (buffer->span >= huge_page_size(FLATIOMMU_PAGES_1G))
		align = huge_page_size(FLATIOMMU_PAGES_1G);
	else if (buffer->span >= huge_page_size(FLATIOMMU_PAGES_HUGE))
		align = huge_page_size(FLATIOMMU_PAGES_HUGE);
	err = iova_alloc(&flat->iovas, buffer->span, align, (uintptr_t)buffer->pages,
			 backend->look_up ? ABOVE_MEMORY : ABOVE_32_BITS, max, &buffer->iova);
	if (err == -ENOSPC)
		err = iova_alloc(&flat->iovas, buffer->span, small_page_size(), 0, LOWEST, max,
				 &buffer->iova);
	if (err == -ENOSPC && max != UINT64_MAX)
		return fail(flat, -ERANGE, "no IOVAs below %#llx are left for %zu bytes",
			    (unsigned long long)max + 1, buffer->span);
	return err ? fail(flat, err, "no IOVAs are left for %zu bytes", buffer->span) : 0;
}

/* Merges @more segments with those before, if they are neighbours. Returns the new number. */
static size_t merge(struct flatiommu_dma_segment *segments, size_t have, size_t more)
{
	size_t i, n = have;

	for (i = have; i < have + more; i++) {
		if (n && segments[n - 1].address + segments[n - 1].length == segments[i].address)
			segments[n - 1].length += segments[i].length;
		else
			segments[n++] = segments[i];
	}
	return n;
}

/* Makes the index of a buffer, which has its segments. */
static int index_buffer(struct flatiommu *flat, struct buffer *buffer)
{
	int err = index_segments(buffer);

	if (!err)
		return 0;
	drop_index(buffer);
	return fail(flat, err, "the segments of a buffer: %s", ERRNO(err));
}

static int look_up(struct flatiommu *flat, struct buffer *buffer)
{
	const struct backend *backend = flat->backend;
	size_t at = (size_t)((char *)buffer->dma.memory - buffer->pages), end = at + buffer->dma.length;
	struct flatiommu_dma_segment *segments = NULL, *more;
	size_t count = 0, room = backend->look_up ? BATCH : 1;
	int ret, i;

	while (at < end) {
		more = realloc(segments, (count + room) * sizeof(*segments));
		if (!more) {
			ret = fail(flat, -ENOMEM, "no memory for the segments of a buffer");
			goto error;
		}
		segments = more;
		if (backend->look_up) {
			ret = backend->look_up(flat, buffer, at, &segments[count], room);
			if (ret <= 0)
				goto error;
		} else {
			segments[count] = (struct flatiommu_dma_segment){ buffer->iova + at, end - at };
			ret = 1;
		}
		for (i = 0; i < ret; i++) {
			struct flatiommu_dma_segment *s = &segments[count + (size_t)i];

			/* The last page may go on after the end of the buffer. */
			if (s->length > end - at)
				s->length = end - at;
			at += s->length;
			if (at == end)
				ret = i + 1;
		}
		count = merge(segments, count, (size_t)ret);
	}
	more = realloc(segments, count * sizeof(*segments));
	buffer->dma.segments = more ? more : segments;
	buffer->dma.nr_segments = count;
	return 0;
error:
	free(segments);
	if (ret)
		return ret;
	return fail(flat, -EIO, "the kernel finds nothing at %p, where it has mapped memory",
		    (void *)(buffer->pages + at));
}

void keep_memory(struct flatiommu *flat, struct buffer *buffer, int err)
{
	fail(flat, err, "%zu bytes at %p cannot be unmapped and are kept: %s", buffer->span,
	     (void *)buffer->pages, ERRNO(err));
	buffer->owned = false;
	/* Devices may still reach a BAR, too: its device cannot be closed. */
	buffer->owner = NULL;
}

/* If a backend maps for each device by itself, no device may come or go meanwhile. */
static void lock_devices(struct flatiommu *flat, const struct backend *backend)
{
	if (backend->for_each_device)
		pthread_mutex_lock(&flat->open_lock);
}

static void unlock_devices(struct flatiommu *flat, const struct backend *backend)
{
	if (backend->for_each_device)
		pthread_mutex_unlock(&flat->open_lock);
}

static int no_device(struct flatiommu *flat, const struct backend *backend)
{
	return fail(flat, -ENODEV, "no device is open that memory could be for. Cure: open one first%s",
		    backend ? " (of imported devices, the memory is imported, too)" : "");
}

/* Lists a buffer. While it is in the list, the context keeps a device. */
static int list_buffer(struct flatiommu *flat, struct buffer *buffer, const struct backend *backend)
{
	int err = 0;

	pthread_mutex_lock(&flat->lock);
	if (!flat->devices || flat->backend != backend) {
		err = no_device(flat, NULL);
	} else {
		buffer->flat = flat;
		buffer->next = flat->buffers;
		buffer->prev = &flat->buffers;
		if (buffer->next)
			buffer->next->prev = &buffer->next;
		flat->buffers = buffer;
	}
	pthread_mutex_unlock(&flat->lock);
	return err;
}

static void free_iova(struct flatiommu *flat, struct buffer *buffer)
{
	if (buffer->iova)
		iova_free(&flat->iovas, buffer->iova, buffer->span);
	buffer->iova = 0;
}

/* Removes a buffer from the list. @kept: it is still mapped, so its IOVA stays taken. */
static void unlist_buffer(struct flatiommu *flat, struct buffer *buffer, bool kept)
{
	pthread_mutex_lock(&flat->lock);
	*buffer->prev = buffer->next;
	if (buffer->next)
		buffer->next->prev = buffer->prev;
	if (!kept)
		free_iova(flat, buffer);
	pthread_mutex_unlock(&flat->lock);
}

/* Lets flatiommu_dma_find() find the buffer: after it is mapped and until it is unmapped. */
static void let_find(struct flatiommu *flat, struct buffer *buffer)
{
	buffer->place.start = (uintptr_t)buffer->dma.memory;
	buffer->place.end = buffer->place.start + buffer->dma.length;
	pthread_mutex_lock(&flat->lock);
	place_insert(&flat->places, &buffer->place);
	pthread_mutex_unlock(&flat->lock);
}

static void do_not_find(struct flatiommu *flat, struct buffer *buffer)
{
	pthread_mutex_lock(&flat->lock);
	place_remove(&flat->places, &buffer->place);
	pthread_mutex_unlock(&flat->lock);
}

/* Has a device that was opened meanwhile changed the IOVAs? Waits for one that is being opened. */
static bool fewer_iovas(struct flatiommu *flat, unsigned int before)
{
	bool changed;

	pthread_mutex_lock(&flat->open_lock);
	pthread_mutex_lock(&flat->lock);
	changed = flat->iovas_changed != before;
	pthread_mutex_unlock(&flat->lock);
	pthread_mutex_unlock(&flat->open_lock);
	return changed;
}

/* Returns 0, or -errno: then devices may still reach the memory, which is kept. */
static int unmap(struct flatiommu *flat, struct buffer *buffer, const struct backend *backend)
{
	int err = buffer->bus ? 0 : buffer->pin ? unpin_buffer(flat, buffer) :
		  buffer->pieces ? fault_unmap(flat, buffer, backend) :
		  backend->unmap(flat, buffer);

	if (err)
		keep_memory(flat, buffer, err);
	return err;
}

/* Maps the buffer by backend->map(). Sets *@kept, for unlist_buffer(), if it cannot be unmapped. */
static int map_with_backend(struct flatiommu *flat, struct buffer *buffer, const struct backend *backend,
			    unsigned int address_bits, unsigned int *iovas_changed, bool *kept)
{
	int err = 0;

	pthread_mutex_lock(&flat->lock);
	*iovas_changed = flat->iovas_changed;
	if (backend->iovas && (!flat->fault || buffer->owner))
		err = alloc_iova(flat, buffer, address_bits);
	pthread_mutex_unlock(&flat->lock);
	if (flat->fault && !buffer->owner)
		return fault_map(flat, buffer, backend);
	if (!err)
		err = backend->map(flat, buffer);
	if (err)
		return err;
	err = look_up(flat, buffer);
	if (err)
		*kept = unmap(flat, buffer, backend);
	return err;
}

static int map_once(struct flatiommu *flat, struct buffer *buffer, const struct backend *backend,
		    unsigned int address_bits, unsigned int *iovas_changed)
{
	bool kept = false;
	int err;

	lock_devices(flat, backend);
	err = list_buffer(flat, buffer, backend);
	if (err)
		goto out;
	err = buffer->bus ? set_peer_segment(flat, buffer) : pin_buffer(flat, buffer);
	if (err == PIN_NOT_POSSIBLE)
		err = map_with_backend(flat, buffer, backend, address_bits, iovas_changed, &kept);
	if (!err) {
		err = index_buffer(flat, buffer);
		if (!err) {
			let_find(flat, buffer);
			goto out;
		}
		kept = unmap(flat, buffer, backend);
	}
	unlist_buffer(flat, buffer, kept);
out:
	unlock_devices(flat, backend);
	return err;
}

/* Is the buffer within @address_bits, and in one segment if FLATIOMMU_DMA_CONTIGUOUS is set? */
static int check(struct flatiommu *flat, const struct buffer *buffer, uint32_t flags,
		 unsigned int address_bits)
{
	uint64_t max = last_address(address_bits);
	size_t i;

	if (flags & FLATIOMMU_DMA_CONTIGUOUS && buffer->dma.nr_segments != 1)
		return fail(flat, -ENOMEM, "%zu bytes of consecutive memory are not to be had. Cure: "
			    "reserve huge pages (sysctl vm.nr_hugepages; hugepagesz=1G for more than %zu MiB)",
			    buffer->dma.length, huge_page_size(FLATIOMMU_PAGES_HUGE) >> 20);
	for (i = 0; i < buffer->dma.nr_segments; i++)
		if (buffer->dma.segments[i].address + (buffer->dma.segments[i].length - 1) > max)
			return fail(flat, -ERANGE, "the memory is at bus address %#llx, and the device "
				    "has %u address bits. Cure: huge pages that are reserved at boot "
				    "mostly lie low",
				    (unsigned long long)buffer->dma.segments[i].address, address_bits);
	return 0;
}

int map_buffer(struct flatiommu *flat, struct buffer *buffer, unsigned int address_bits)
{
	const struct backend *backend = open_backend(flat);
	unsigned int changed = 0;
	int err;

	if (!backend || backend == &imported)
		return no_device(flat, backend);
	do {
		err = map_once(flat, buffer, backend, address_bits, &changed);
	} while (err == -EINVAL && backend->iovas && fewer_iovas(flat, changed));
	if (err)
		drop_stopped_devices(flat);
	return err;
}

void free_memory(struct buffer *buffer)
{
	struct memory memory = {
		.addr = buffer->pages,
		.size = buffer->span,
		.file = buffer->file,
	};

	if (buffer->owner)
		drop_peer(buffer);
	if (buffer->owned)
		memory_put(&memory);
	else
		close_fd(&buffer->file);
	drop_index(buffer);
	free(buffer);
}

/* Frees a buffer. Returns 0, or -errno if the kernel did not unmap it: then its memory is kept. */
int free_buffer(struct buffer *buffer)
{
	struct flatiommu *flat = buffer->flat;
	const struct backend *backend;
	int err = 0;

	if (flat) {
		do_not_find(flat, buffer);
		/* Not NULL: while there is a buffer, there is a device. */
		backend = open_backend(flat);
		lock_devices(flat, backend);
		err = unmap(flat, buffer, backend);
		unlist_buffer(flat, buffer, err);
		unlock_devices(flat, backend);
	}
	free_memory(buffer);
	return err;
}

/* Frees a buffer's struct in a child, and its memory if it is shared. Other memory is not there. */
void forget_buffer(struct buffer *buffer)
{
	struct pin *pin;

	while ((pin = buffer->pins)) {
		buffer->pins = pin->next;
		free(pin);
	}
	buffer->owned = buffer->owned && buffer->file >= 0;
	buffer->owner = NULL;
	fault_forget(buffer);
	free_memory(buffer);
}

int free_dma(struct flatiommu *flat, struct flatiommu_dma *dma)
{
	int err = free_buffer(buffer_of(dma));

	drop_stopped_devices(flat);
	return err;
}

int flatiommu_dma_free(struct flatiommu_dma *dma)
{
	struct flatiommu *flat;

	if (!dma)
		return 0;
	flat = buffer_of(dma)->flat;
	if (!flat)
		return free_buffer(buffer_of(dma));
	return CALL(flat, free_dma(flat, dma));
}

/* One more kind than in the public enum: memory within reach from the module, see reach.c. */
#define PAGES_IN_REACH ((enum flatiommu_dma_pages)(FLATIOMMU_PAGES_SMALL + 1))

/* Sets *@no_pages if it fails and other pages may help. */
static int get_memory(struct flatiommu *flat, size_t length, enum flatiommu_dma_pages pages,
		      const struct flatiommu_dma_options *options, struct memory *memory, bool *no_pages)
{
	int err;

	*no_pages = false;
	/* Here the kernel checks the limits itself, and kills no program to get memory. */
	if (pages == PAGES_IN_REACH)
		return reach_get(flat, length, options, memory);
	err = check_room(flat, length, pages);
	if (err)
		return err;
	err = memory_get(length, pages, options, memory);
	*no_pages = err == -ENOMEM;
	return err ? explain_alloc(flat, length, pages, err) : 0;
}

static int alloc_once(struct flatiommu *flat, size_t length, enum flatiommu_dma_pages pages,
		      const struct flatiommu_dma_options *options, struct buffer **buffer, bool *no_pages)
{
	struct buffer *new = calloc(1, sizeof(*new));
	struct memory memory;
	int err;

	*no_pages = false;
	if (!new)
		return fail(flat, -ENOMEM, "no memory for a buffer");
	err = get_memory(flat, length, pages, options, &memory, no_pages);
	if (err) {
		free(new);
		return err;
	}
	/* fork() would copy pinned memory. The kernel never refuses this advice. */
	if (memory.file < 0)
		madvise(memory.addr, memory.size, MADV_DONTFORK);
	new->dma = (struct flatiommu_dma){
		.memory = memory.addr,
		.length = length,
		.page_size = memory.page_size,
		.impl = (void *)new,
	};
	new->pages = memory.addr;
	new->span = memory.size;
	new->file = memory.file;
	new->owned = true;
	err = map_buffer(flat, new, options->address_bits);
	if (err)
		free_memory(new);
	else
		*buffer = new;
	return err;
}

/*
 * Allocates and maps memory until some is within the device's reach. Memory that is not is kept
 * until then, or the kernel would return the same again. Ordinary memory is tried more than once
 * only if @draw.
 */
static int alloc_pages(struct flatiommu *flat, size_t length, enum flatiommu_dma_pages pages, bool draw,
		       const struct flatiommu_dma_options *options, struct buffer **buffer, bool *no_pages)
{
	struct buffer **rejects;
	size_t tries = 1, count = 0;
	int err;

	if (huge_page_size(pages))
		tries = HUGE_TRIES;
	else if (draw)
		tries = DRAWN_SIZE / (length > small_page_size() ? length : small_page_size()) + 1;
	*no_pages = false;
	rejects = calloc(tries, sizeof(*rejects));
	if (!rejects)
		return fail(flat, -ENOMEM, "no memory for a buffer");
	for (;;) {
		struct buffer *new = NULL;

		err = alloc_once(flat, length, pages, options, &new, no_pages);
		/* There was memory before: the kept buffers have it now. */
		if (err == -ENOMEM && count) {
			err = -ERANGE;
			*no_pages = true;
		}
		if (err)
			break;
		err = check(flat, new, options->flags, options->address_bits);
		*no_pages = err == -ENOMEM || err == -ERANGE;
		if (!err) {
			*buffer = new;
			break;
		}
		rejects[count++] = new;
		if (err != -ERANGE || count == tries)
			break;
	}
	while (count)
		free_dma(flat, &rejects[--count]->dma);
	free(rejects);
	return err;
}

/* Returns the kind of pages that FLATIOMMU_PAGES_ANY tries first. */
static enum flatiommu_dma_pages best_pages(struct flatiommu *flat, size_t length, bool draw, uint32_t flags)
{
	size_t huge = huge_page_size(FLATIOMMU_PAGES_HUGE);
	bool in_one_page = flags & FLATIOMMU_DMA_CONTIGUOUS && !is_translated(flat);

	if (in_one_page && length > huge)
		return FLATIOMMU_PAGES_1G;
	/* Huge pages that were reserved at boot mostly have low addresses. */
	if ((in_one_page && length > small_page_size()) || length >= huge / 2 || draw)
		return FLATIOMMU_PAGES_HUGE;
	return FLATIOMMU_PAGES_SMALL;
}

/* Tries kinds of pages, from the one that was asked for on. */
static int alloc_kinds(struct flatiommu *flat, size_t length, bool draw, const struct flatiommu_dma_options *options,
		       struct buffer **buffer, bool *no_pages)
{
	enum flatiommu_dma_pages pages = options->pages;
	int err;

	if (pages == FLATIOMMU_PAGES_ANY)
		pages = best_pages(flat, length, draw, options->flags);
	for (;;) {
		err = alloc_pages(flat, length, pages, draw, options, buffer, no_pages);
		if (!err || !*no_pages || pages == FLATIOMMU_PAGES_SMALL ||
		    (options->flags & FLATIOMMU_DMA_NO_FALLBACK && options->pages != FLATIOMMU_PAGES_ANY))
			return err;
		pages++;
	}
}

static bool is_narrow(const struct flatiommu_dma_options *options)
{
	return options->address_bits && options->address_bits < 64;
}

/* Does the program want several consecutive pages? */
static bool is_long(size_t length, const struct flatiommu_dma_options *options)
{
	return options->flags & FLATIOMMU_DMA_CONTIGUOUS && length > small_page_size();
}

/*
 * Allocates memory that must be within few address bits or contiguous. The module can find such
 * memory. It is tried first if ordinary memory is unlikely to be such. Without the module the
 * result depends on luck.
 */
static int alloc_in_reach(struct flatiommu *flat, size_t length, const struct flatiommu_dma_options *options,
			  struct buffer **buffer)
{
	/* The module's memory has ordinary pages. */
	bool ordinary = options->pages == FLATIOMMU_PAGES_ANY || options->pages == FLATIOMMU_PAGES_SMALL;
	bool may_ask = ordinary || !(options->flags & FLATIOMMU_DMA_NO_FALLBACK), asked = false;
	bool first = ordinary && (is_long(length, options) || options->address_bits <= 32);
	bool narrow = is_narrow(options), no_pages = true, unused;
	int err = -ERANGE, ret;

	if (!first)
		err = alloc_kinds(flat, length, narrow && !may_ask, options, buffer, &no_pages);
	if (err && no_pages && may_ask) {
		ret = alloc_pages(flat, length, PAGES_IN_REACH, false, options, buffer, &unused);
		asked = ret != -EOPNOTSUPP;
		if (asked) {
			err = ret;
			/* With few address bits, -ENOMEM is about RLIMIT_MEMLOCK. */
			no_pages = err == -ERANGE || (err == -ENOMEM && !narrow);
		}
	}
	if (err && no_pages && (first || (may_ask && !asked)))
		err = alloc_kinds(flat, length, narrow && !asked, options, buffer, &no_pages);
	return err;
}

int check_dma_options(struct flatiommu *flat, size_t length,
		      const struct flatiommu_dma_options *options)
{
	uint32_t bits = options->address_bits;

	if (!length)
		return fail(flat, -EINVAL, "a buffer of 0 bytes");
	if (options->flags & ~KNOWN_FLAGS || is_any_set(options->reserved, ARRAY_SIZE(options->reserved)))
		return fail(flat, -EOPNOTSUPP, "options of a buffer: unknown flags %#x, or reserved is not 0",
			    options->flags & ~KNOWN_FLAGS);
	if (options->pages > FLATIOMMU_PAGES_SMALL || (bits && (bits < 12 || bits > 64)))
		return fail(flat, -EINVAL, "options of a buffer: pages %u, address_bits %u", options->pages,
			    bits);
	return 0;
}

int alloc_dma(struct flatiommu *flat, size_t length, const struct flatiommu_dma_options *options,
	      struct flatiommu_dma **dma)
{
	const struct flatiommu_dma_options any = { 0 };
	struct buffer *buffer = NULL;
	bool no_pages;
	int err;

	if (!dma)
		return fail(flat, -EINVAL, "flatiommu_dma_alloc: NULL is no buffer");
	if (!options)
		options = &any;
	err = check_dma_options(flat, length, options);
	if (err)
		return err;
	if (options->flags & FLATIOMMU_DMA_READ_ONLY)
		return fail(flat, -EOPNOTSUPP, "flatiommu_dma_alloc: nobody could write to read-only "
			    "memory");
	if ((is_narrow(options) || is_long(length, options)) && !is_translated(flat))
		err = alloc_in_reach(flat, length, options, &buffer);
	else
		err = alloc_kinds(flat, length, false, options, &buffer, &no_pages);
	if (!err)
		*dma = &buffer->dma;
	return err;
}

int flatiommu_dma_alloc(struct flatiommu *flat, size_t length,
			const struct flatiommu_dma_options *options, struct flatiommu_dma **dma)
{
	return CALL(flat, alloc_dma(flat, length, options, dma));
}

static int map_memory(struct flatiommu *flat, void *memory, size_t length,
		      const struct flatiommu_dma_options *options, struct flatiommu_dma **dma)
{
	const struct flatiommu_dma_options any = { 0 };
	uintptr_t start = (uintptr_t)memory, end;
	size_t page = small_page_size();
	struct buffer *new;
	int err;

	if (!memory || !dma || start > SIZE_MAX - page || length > SIZE_MAX - page - start)
		return fail(flat, -EINVAL, "flatiommu_dma_map: %zu bytes at %p", length, memory);
	if (!options)
		options = &any;
	err = check_dma_options(flat, length, options);
	if (err)
		return err;
	if (options->flags & ~FLATIOMMU_DMA_READ_ONLY || options->pages || options->node)
		return fail(flat, -EOPNOTSUPP, "flatiommu_dma_map: options that are for memory yet to be had");
	/* Some backends could, and nothing would end it with the device. */
	if (is_bar(flat, memory))
		return fail(flat, -EFAULT, "flatiommu_dma_map: %p is a BAR of a device. Cure: flatiommu_bar_dma()",
			    memory);
	new = calloc(1, sizeof(*new));
	if (!new)
		return fail(flat, -ENOMEM, "no memory for a buffer");
	end = (start + length + page - 1) & ~(page - 1);
	start &= ~(page - 1);
	new->dma = (struct flatiommu_dma){
		.memory = memory,
		.length = length,
		.page_size = page,
		.impl = (void *)new,
	};
	new->pages = (char *)start;
	new->span = end - start;
	new->file = -1;
	new->read_only = options->flags & FLATIOMMU_DMA_READ_ONLY;
	err = map_buffer(flat, new, options->address_bits);
	if (err) {
		free_memory(new);
		return err;
	}
	err = check(flat, new, 0, options->address_bits);
	if (err)
		free_dma(flat, &new->dma);
	else
		*dma = &new->dma;
	return err;
}

int flatiommu_dma_map(struct flatiommu *flat, void *memory, size_t length,
		      const struct flatiommu_dma_options *options, struct flatiommu_dma **dma)
{
	return CALL(flat, map_memory(flat, memory, length, options, dma));
}
