// SPDX-License-Identifier: MIT
/*
 * Buffers: they are mapped for all devices of a context, get their segments, and are listed. The
 * memory is the caller's concern.
 */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"
#include "memory.h"

#define BATCH		512	/* segments looked up at a time */

/*
 * IOVAs that are only keys lie above all memory: if a program gives one to a device by mistake, it
 * reaches nothing. Real IOVAs are above 4 GiB, if possible, which leaves those below to devices
 * with few address bits.
 */
#define ABOVE_MEMORY	(1ull << 52)
#define ABOVE_32_BITS	(1ull << 32)
#define LOWEST		(1ull << 16)

uint64_t last_address(unsigned int bits)
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
	size_t at = (size_t)((char *)buffer->dma.memory - buffer->pages);
	size_t end = at + buffer->dma.length;
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
			segments[count].address = buffer->iova + at;
			segments[count].length = end - at;
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
	return fail(flat, -ENODEV, "no device is open, and a buffer needs one. Cure: open a device "
		    "first%s",
		    backend ? " (for imported devices, import the memory, too)" : "");
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

/*
 * Removes a buffer from the list. @kept: it is still mapped, so its IOVA stays taken, also when the
 * next device changes the allowed IOVAs. The struct is the record of that: to unmap must not need
 * memory.
 */
static void unlist_buffer(struct flatiommu *flat, struct buffer *buffer, bool kept)
{
	pthread_mutex_lock(&flat->lock);
	*buffer->prev = buffer->next;
	if (buffer->next)
		buffer->next->prev = buffer->prev;
	if (!kept) {
		free_iova(flat, buffer);
	} else if (buffer->iova) {
		buffer->is_kept = true;
		buffer->next = flat->kept;
		flat->kept = buffer;
	}
	pthread_mutex_unlock(&flat->lock);
}

/* Lets flatiommu_dma_find() find the buffer: after it is mapped and until it is unmapped. */
static void let_find(struct flatiommu *flat, struct buffer *buffer)
{
	buffer->place.start = untagged(buffer->dma.memory);
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

/* Has a device that was opened meanwhile changed the IOVAs? Waits if a device is being opened. */
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
	int err;

	if (buffer->owner)
		fault_tell(flat, "unmap", buffer);
	err = buffer->bus ? 0 : buffer->pin ? unpin_buffer(flat, buffer) :
	      buffer->pieces ? fault_unmap(flat, buffer, backend) :
	      backend->unmap(flat, buffer);
	if (err)
		keep_memory(flat, buffer, err);
	return err;
}

/* Maps the buffer by backend->map(). Sets *@kept, for unlist_buffer(), if it cannot be unmapped. */
static int map_with_backend(struct flatiommu *flat, struct buffer *buffer,
			    const struct backend *backend, unsigned int address_bits,
			    unsigned int *iovas_changed, bool *kept)
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
	else if (buffer->owner)
		fault_tell(flat, "map", buffer);
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
	/* type1 would map the program's mapping of a device's memory, but nothing would keep it. */
	if (err == PIN_NOT_POSSIBLE && buffer->is_dmabuf && !backend->for_each_device)
		err = explain_map(flat, buffer, -EFAULT);
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

static int check_backend(struct flatiommu *flat, const struct backend *backend)
{
	return !backend || backend->imported ? no_device(flat, backend) : 0;
}

int need_device(struct flatiommu *flat)
{
	return check_backend(flat, open_backend(flat));
}

int map_buffer(struct flatiommu *flat, struct buffer *buffer, unsigned int address_bits)
{
	const struct backend *backend = open_backend(flat);
	int err = check_backend(flat, backend);
	unsigned int changed;

	if (err)
		return err;
	do {
		pthread_mutex_lock(&flat->lock);
		changed = flat->iovas_changed;
		pthread_mutex_unlock(&flat->lock);
		err = map_once(flat, buffer, backend, address_bits, &changed);
	} while (err == -EINVAL && backend->iovas && !buffer->is_kept &&
		 fewer_iovas(flat, changed));
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
	if (!buffer->is_kept)
		free(buffer);
}

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
