// SPDX-License-Identifier: MIT
/* The program's calls for buffers: they find memory that suits the device, and check options. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "internal.h"
#include "memory.h"

#define HUGE_TRIES	4096	/* tries for memory within reach; mostly there are fewer pages */
#define DRAWN_SIZE	(64ul << 20)	/* bytes of ordinary memory to try */

#define ACCESS_FLAGS (FLATIOMMU_DMA_READ_ONLY | FLATIOMMU_DMA_WRITE_ONLY)
#define KNOWN_FLAGS (FLATIOMMU_DMA_NO_FALLBACK | FLATIOMMU_DMA_ON_NODE | \
		     FLATIOMMU_DMA_CONTIGUOUS | FLATIOMMU_DMA_SHARED | ACCESS_FLAGS)

static bool is_any_set(const uint64_t *words, size_t count)
{
	uint64_t any = 0;

	while (count)
		any |= words[--count];
	return any;
}

int check_reach(struct flatiommu *flat, const struct buffer *buffer, uint32_t flags,
		unsigned int address_bits)
{
	uint64_t max = last_address(address_bits);
	size_t i;

	if (flags & FLATIOMMU_DMA_CONTIGUOUS && buffer->dma.nr_segments != 1)
		return fail(flat, -ENOMEM, "there are no %zu bytes of consecutive memory. Cure: "
			    "reserve huge pages (sysctl vm.nr_hugepages; hugepagesz=1G for more "
			    "than %zu MiB)",
			    buffer->dma.length, huge_page_size(FLATIOMMU_PAGES_HUGE) >> 20);
	for (i = 0; i < buffer->dma.nr_segments; i++)
		if (buffer->dma.segments[i].address + (buffer->dma.segments[i].length - 1) > max)
			return fail(flat, -ERANGE, "the memory is at bus address %#llx, and the "
				    "device has %u address bits. Cure: huge pages that are "
				    "reserved at boot mostly have low addresses",
				    (unsigned long long)buffer->dma.segments[i].address,
				    address_bits);
	return 0;
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
		return CALL_ALONE(free_buffer(buffer_of(dma)));
	return CALL(flat, free_dma(flat, dma));
}

/* One more kind than in the public enum: memory within reach from the module, see reach.c. */
#define PAGES_IN_REACH ((enum flatiommu_dma_pages)(FLATIOMMU_PAGES_SMALL + 1))

/* Sets *@no_pages if it fails and other pages may help. */
static int get_memory(struct flatiommu *flat, size_t length, enum flatiommu_dma_pages pages,
		      const struct flatiommu_dma_options *options, struct memory *memory,
		      bool *no_pages)
{
	int err;

	*no_pages = false;
	/* Here the kernel checks the limits itself, and kills no program to get memory. */
	if (pages == PAGES_IN_REACH)
		return reach_get(flat, length, options, memory);
	err = check_room(flat, memory_size(length, pages, options), pages);
	if (err)
		return err;
	err = memory_get(length, pages, options, memory);
	*no_pages = err == -ENOMEM;
	return err ? explain_alloc(flat, length, pages, err) : 0;
}

void set_access(struct buffer *buffer, const struct flatiommu_dma_options *options)
{
	buffer->read_only = options->flags & FLATIOMMU_DMA_READ_ONLY;
	buffer->write_only = options->flags & FLATIOMMU_DMA_WRITE_ONLY;
}

static int alloc_once(struct flatiommu *flat, size_t length, enum flatiommu_dma_pages pages,
		      const struct flatiommu_dma_options *options, struct buffer **buffer,
		      bool *no_pages)
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
	/* fork() would copy pinned memory. This advice never fails. */
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
	set_access(new, options);
	err = map_buffer(flat, new, options->address_bits);
	if (err)
		free_memory(new);
	else
		*buffer = new;
	return err;
}

/*
 * Allocates and maps memory until some is within the device's reach. Memory out of reach is kept
 * until then, or the kernel would return the same again. Ordinary memory is tried more than once
 * only if @draw.
 */
static int alloc_pages(struct flatiommu *flat, size_t length, enum flatiommu_dma_pages pages,
		       bool draw, const struct flatiommu_dma_options *options,
		       struct buffer **buffer, bool *no_pages)
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
		err = check_reach(flat, new, options->flags, options->address_bits);
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
static enum flatiommu_dma_pages best_pages(struct flatiommu *flat, size_t length, bool draw,
					   uint32_t flags)
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

/* Tries the kind of pages that the options name, and then the kinds after it in the enum. */
static int alloc_kinds(struct flatiommu *flat, size_t length, bool draw,
		       const struct flatiommu_dma_options *options, struct buffer **buffer,
		       bool *no_pages)
{
	enum flatiommu_dma_pages pages = options->pages;
	int err;

	if (pages == FLATIOMMU_PAGES_ANY)
		pages = best_pages(flat, length, draw, options->flags);
	for (;;) {
		err = alloc_pages(flat, length, pages, draw, options, buffer, no_pages);
		if (!err || !*no_pages || pages == FLATIOMMU_PAGES_SMALL ||
		    (options->flags & FLATIOMMU_DMA_NO_FALLBACK &&
		     options->pages != FLATIOMMU_PAGES_ANY))
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
static int alloc_in_reach(struct flatiommu *flat, size_t length,
			  const struct flatiommu_dma_options *options, struct buffer **buffer)
{
	/* The module's memory has ordinary pages. */
	bool ordinary = options->pages == FLATIOMMU_PAGES_ANY ||
			options->pages == FLATIOMMU_PAGES_SMALL;
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
	if (options->flags & ~KNOWN_FLAGS ||
	    is_any_set(options->reserved, ARRAY_SIZE(options->reserved)))
		return fail(flat, -EOPNOTSUPP, "options of a buffer: unknown flags %#x, or reserved is not 0",
			    options->flags & ~KNOWN_FLAGS);
	if ((options->flags & ACCESS_FLAGS) == ACCESS_FLAGS)
		return fail(flat, -EINVAL, "options of a buffer: read-only and write-only");
	if (options->flags & FLATIOMMU_DMA_ON_NODE && options->node < 0)
		return fail(flat, -EINVAL, "options of a buffer: node %d", options->node);
	if (options->pages > FLATIOMMU_PAGES_SMALL || (bits && (bits < 12 || bits > 64)))
		return fail(flat, -EINVAL, "options of a buffer: pages %u, address_bits %u", options->pages,
			    bits);
	return 0;
}

int check_map_options(struct flatiommu *flat, const char *call, size_t length,
		      const struct flatiommu_dma_options *options)
{
	int err = check_dma_options(flat, length, options);

	if (!err && (options->flags & ~ACCESS_FLAGS || options->pages || options->node))
		err = fail(flat, -EOPNOTSUPP, "%s: options that only flatiommu_dma_alloc() has", call);
	return err;
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
	/* Before memory is filled for nothing. */
	if (!err)
		err = need_device(flat);
	if (err)
		return err;
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

int map_new(struct flatiommu *flat, struct buffer *new, unsigned int address_bits,
	    struct flatiommu_dma **dma)
{
	int err = map_buffer(flat, new, address_bits);

	if (err) {
		free_memory(new);
		return err;
	}
	err = check_reach(flat, new, 0, address_bits);
	if (err)
		free_dma(flat, &new->dma);
	else
		*dma = &new->dma;
	return err;
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
	err = check_map_options(flat, "flatiommu_dma_map", length, options);
	if (err)
		return err;
	/* Some backends could map a BAR, but the map would not end with the device. */
	if (is_bar(flat, memory, length))
		return fail(flat, -EFAULT, "flatiommu_dma_map: %p is a BAR of a device, or goes on in one. Cure: flatiommu_bar_dma()",
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
	set_access(new, options);
	return map_new(flat, new, options->address_bits, dma);
}

int flatiommu_dma_map(struct flatiommu *flat, void *memory, size_t length,
		      const struct flatiommu_dma_options *options, struct flatiommu_dma **dma)
{
	return CALL(flat, map_memory(flat, memory, length, options, dma));
}
