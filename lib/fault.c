// SPDX-License-Identifier: MIT
/*
 * An IOMMU maps an address once, and several buffers may have the same page. So buffers are mapped
 * in pieces. A piece is memory at consecutive addresses, mapped by one call, with the number of its
 * uses. It stays until the last buffer that has a part of it is freed.
 *
 * A page may move until it is pinned, and the map pins it. So its address is read before the map
 * and after it, and if it has changed, the map is undone and made again.
 */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define VARIABLE	"FLATIOMMU_FAULT"

/* Documentation/admin-guide/mm/pagemap.rst */
#define ENTRY_PRESENT	(1ull << 63)
#define ENTRY_FRAME	((1ull << 55) - 1)

/* Maximum size of the list of buffers, which is in $TMPDIR. */
#define MOST_LOG	(64l << 20)

/* Maximum number of tries. Pages that move while they are pinned stay where they are then. */
#define TRIES		16

/**
 * struct piece - memory that one call of backend->map() has mapped
 * @place:	its physical addresses, in fault->pieces
 * @read_only:	devices only read it
 * @write_only:	devices only write to it
 * @users:	number of times that buffers have it in their lists
 */
struct piece {
	struct place place;
	bool read_only;
	bool write_only;
	unsigned int users;
};

/**
 * struct fault - physical addresses as IOVAs
 * @lock:	held while a buffer is mapped, unmapped or logged; flat->lock is taken below it
 * @pieces:	all pieces
 * @pagemap:	/proc/self/pagemap
 * @log:	the file that flatiommu run reads the buffers from, or -1
 */
struct fault {
	pthread_mutex_t lock;
	struct place *pieces;
	int pagemap;
	int log;
};

/**
 * struct job - a buffer that fault_map() maps
 * @addresses:	address of each page
 * @n:		number of pages
 * @tries:	number of times that pages were found elsewhere
 */
struct job {
	struct flatiommu *flat;
	struct buffer *buffer;
	const struct backend *backend;
	uint64_t *addresses;
	size_t n;
	unsigned int tries;
};

static struct piece *piece_at(struct fault *fault, uint64_t address)
{
	return (struct piece *)place_find(fault->pieces, address);
}

/* Reads the addresses of pages. Returns 0, -EAGAIN if one is not present, or another -errno. */
static int read_addresses(const struct fault *fault, const char *memory, size_t n,
			  uint64_t *addresses)
{
	const size_t page = small_page_size(), size = n * sizeof(*addresses);
	off_t at = (off_t)((uintptr_t)memory / page * sizeof(*addresses));
	char *to = (char *)addresses;
	size_t done, i;
	ssize_t got;

	for (done = 0; done < size; done += (size_t)got) {
		got = pread(fault->pagemap, to + done, size - done, at + (off_t)done);
		if (got < 0)
			return -errno;
		if (!got)
			return -EAGAIN;
	}
	for (i = 0; i < n; i++) {
		if (!(addresses[i] & ENTRY_PRESENT))
			return -EAGAIN;
		addresses[i] = (addresses[i] & ENTRY_FRAME) * page;
		/* Without the privilege all frames are 0. */
		if (!addresses[i])
			return -EPERM;
	}
	return 0;
}

static int explain_addresses(struct flatiommu *flat, int err)
{
	return fail(flat, err, VARIABLE ": /proc/self/pagemap: %s%s", ERRNO(err), err == -EPERM ?
		    ": physical addresses need CAP_SYS_ADMIN. Cure: run it as root" : "");
}

static int open_log(struct flatiommu *flat, const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	int err;

	if (fd < 0) {
		err = -errno;
		/* Faults are reported without the log, too. */
		fail(flat, err, VARIABLE "=%s: %s: faults are told without the buffer", path, ERRNO(err));
	}
	return fd;
}

/* May this process see its physical addresses? The mark is a page that is present. */
static int check_addresses(struct flatiommu *flat, const struct fault *fault)
{
	uint64_t address;
	int err = read_addresses(fault, flat->ours, 1, &address);

	return err ? explain_addresses(flat, err) : 0;
}

int fault_begin(struct flatiommu *flat, const struct backend *backend)
{
	const char *value = secure_getenv(VARIABLE);
	struct fault *new;
	int err;

	if (!value || !value[0] || !backend->isolated)
		return 0;
	if (strcmp(value, "1") && value[0] != '/')
		return fail(flat, -EINVAL, VARIABLE "=%s: it can be 1, a file's path, or unset", value);
	new = calloc(1, sizeof(*new));
	if (!new)
		return fail(flat, -ENOMEM, VARIABLE ": no memory");
	new->log = -1;
	new->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (new->pagemap < 0) {
		err = -errno;
		free(new);
		return explain_addresses(flat, err);
	}
	err = check_addresses(flat, new);
	if (err) {
		close(new->pagemap);
		free(new);
		return err;
	}
	if (value[0] == '/')
		new->log = open_log(flat, value);
	pthread_mutex_init(&new->lock, NULL);
	pthread_mutex_lock(&flat->lock);
	flat->fault = new;
	pthread_mutex_unlock(&flat->lock);
	return 0;
}

/*
 * Frees the pieces that could not be unmapped, or all of them in a child: if another thread of the
 * parent had the lock at the fork, leaks them, because the tree may be half-changed.
 */
static void forget_pieces(struct fault *fault)
{
	struct place *place;

	if (pthread_mutex_trylock(&fault->lock))
		return;
	while ((place = fault->pieces)) {
		place_remove(&fault->pieces, place);
		free(place);
	}
	pthread_mutex_unlock(&fault->lock);
}

void fault_end(struct flatiommu *flat)
{
	struct fault *fault = flat->fault;

	if (!fault)
		return;
	flat->fault = NULL;
	forget_pieces(fault);
	close_fd(&fault->pagemap);
	close_fd(&fault->log);
	free(fault);
}

bool is_translated(struct flatiommu *flat)
{
	bool translated;

	pthread_mutex_lock(&flat->lock);
	translated = flat->devices && flat->backend->isolated && !flat->fault;
	pthread_mutex_unlock(&flat->lock);
	return translated;
}

/*
 * Writes a line for each segment. Each write has whole lines, so processes do not mix theirs. After
 * a write that fails, or at MOST_LOG bytes, nothing more is written: later faults have no buffer
 * then.
 */
static void write_log(struct fault *fault, const char *what, const struct buffer *buffer)
{
	const char *memory = buffer->dma.memory;
	char text[4096];
	size_t i, used = 0;

	/* Or another thread may close the file during this. */
	pthread_mutex_lock(&fault->lock);
	for (i = 0; fault->log >= 0 && i < buffer->dma.nr_segments; i++) {
		const struct flatiommu_dma_segment *s = &buffer->dma.segments[i];

		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s %d %#llx %#llx %p\n", what,
					 (int)getpid(), (unsigned long long)s->address,
					 (unsigned long long)s->length, (const void *)memory);
		memory += s->length;
		if (i + 1 < buffer->dma.nr_segments && used < sizeof(text) - 128)
			continue;
		if (write(fault->log, text, used) < 0 || lseek(fault->log, 0, SEEK_END) > MOST_LOG)
			close_fd(&fault->log);
		used = 0;
	}
	pthread_mutex_unlock(&fault->lock);
}

static bool is_allowed(struct flatiommu *flat, uint64_t start, uint64_t last)
{
	const struct iova_range *range;
	bool allowed = false;
	size_t i;

	pthread_mutex_lock(&flat->lock);
	for (i = 0; i < flat->iovas.nr_allowed && !allowed; i++) {
		range = &flat->iovas.allowed[i];
		allowed = range->start <= start && range->last >= last;
	}
	pthread_mutex_unlock(&flat->lock);
	return allowed;
}

/* Makes room for one more piece in the buffer's list, which doubles at each power of two. */
static int reserve(struct buffer *buffer)
{
	struct piece **more;

	if (buffer->nr_pieces & (buffer->nr_pieces - 1))
		return 0;
	more = realloc(buffer->pieces, 2 * (buffer->nr_pieces + 1) * sizeof(*more));
	if (!more)
		return fail(buffer->flat, -ENOMEM, VARIABLE ": no memory");
	buffer->pieces = more;
	return 0;
}

/* Has the kernel fill the memory, so that it has addresses. */
static void populate(const struct buffer *buffer)
{
	/* If it cannot, the map says why. */
	madvise(buffer->pages, buffer->span,
		buffer->read_only ? MADV_POPULATE_READ : MADV_POPULATE_WRITE);
}

/* Are the pages where they were? Sets their addresses in @job. Returns 1, 0 or -errno. */
static int is_as_before(struct job *job, size_t at, size_t n)
{
	const struct fault *fault = job->flat->fault;
	uint64_t *now = calloc(n, sizeof(*now));
	int ret;

	if (!now)
		return -ENOMEM;
	ret = read_addresses(fault, job->buffer->pages + at * small_page_size(), n, now);
	if (!ret) {
		ret = !memcmp(now, &job->addresses[at], n * sizeof(*now));
		memcpy(&job->addresses[at], now, n * sizeof(*now));
	}
	free(now);
	return ret;
}

/* Returns the part of the buffer that is in the piece, as a buffer for map() and unmap(). */
static struct buffer part_of(const struct buffer *buffer, const struct piece *piece, size_t at)
{
	return (struct buffer){
		.flat = buffer->flat,
		.pages = buffer->pages + at * small_page_size(),
		.span = piece->place.end - piece->place.start,
		.iova = piece->place.start,
		.read_only = piece->read_only,
		.write_only = piece->write_only,
	};
}

/* Maps a piece. Returns 0, -EAGAIN if the pages have moved, or another -errno after fail(). */
static int map_piece(struct job *job, struct piece *piece, size_t at)
{
	struct buffer part = part_of(job->buffer, piece, at);
	int err = job->backend->map(job->flat, &part), same;

	if (err)
		return err;
	same = is_as_before(job, at, part.span / small_page_size());
	if (same > 0)
		return 0;
	err = job->backend->unmap(job->flat, &part);
	if (err)
		return fail(job->flat, err, "%zu bytes at %p cannot be unmapped: %s", part.span,
			    (void *)part.pages, ERRNO(err));
	return same && same != -EAGAIN ? explain_addresses(job->flat, same) : -EAGAIN;
}

/* Maps a piece: the pages from @at on, while they are consecutive and not mapped yet. */
static int add_piece(struct job *job, size_t at)
{
	struct fault *fault = job->flat->fault;
	size_t page = small_page_size(), end;
	struct piece *piece;
	int err;

	for (end = at + 1; end < job->n && job->addresses[end] == job->addresses[end - 1] + page &&
	     !piece_at(fault, job->addresses[end]); end++)
		;
	piece = calloc(1, sizeof(*piece));
	if (!piece)
		return fail(job->flat, -ENOMEM, VARIABLE ": no memory");
	piece->place.start = job->addresses[at];
	piece->place.end = job->addresses[at] + (end - at) * page;
	piece->read_only = job->buffer->read_only;
	piece->write_only = job->buffer->write_only;
	if (is_allowed(job->flat, piece->place.start, piece->place.end - 1))
		err = map_piece(job, piece, at);
	else
		err = fail(job->flat, -ERANGE, VARIABLE ": the memory is at %#llx, which this IOMMU does not "
			   "translate (reserved_regions of /sys/kernel/iommu_groups/N). Cure: other memory, such "
			   "as huge pages of another node", (unsigned long long)piece->place.start);
	if (err)
		free(piece);
	else
		place_insert(&fault->pieces, &piece->place);
	return err;
}

/* Maps some pages from @at on, unless they are mapped. Returns their number or -errno. */
static int64_t map_some(struct job *job, size_t at)
{
	struct fault *fault = job->flat->fault;
	struct piece *piece = piece_at(fault, job->addresses[at]);
	size_t i = at;
	int err = reserve(job->buffer);

	if (!err && !piece)
		err = add_piece(job, at);
	else if (!err && ((piece->read_only && !job->buffer->read_only) ||
			  (piece->write_only && !job->buffer->write_only)))
		err = fail(job->flat, -EOPNOTSUPP, VARIABLE ": %p is in a buffer that devices only %s, so "
			   "it cannot be in another one that they %s",
			   (void *)(job->buffer->pages + at * small_page_size()),
			   piece->read_only ? "read" : "write to",
			   piece->read_only ? "write to" : "read");
	if (err)
		return err;
	piece = piece_at(fault, job->addresses[at]);
	job->buffer->pieces[job->buffer->nr_pieces++] = piece;
	piece->users++;
	while (++i < job->n && job->addresses[i] == job->addresses[i - 1] + small_page_size() &&
	       job->addresses[i] < piece->place.end)
		;
	return (int64_t)(i - at);
}

/* Reads all addresses. Pages that were swapped out are brought in again. */
static int find_addresses(struct job *job)
{
	int err;

	do {
		populate(job->buffer);
		err = read_addresses(job->flat->fault, job->buffer->pages, job->n, job->addresses);
	} while (err == -EAGAIN && job->tries++ < TRIES);
	/* It cannot be filled: explain_map() says what is wrong with such memory. */
	if (err == -EAGAIN)
		return explain_map(job->flat, job->buffer, -EFAULT);
	return err ? explain_addresses(job->flat, err) : 0;
}

static int map_all(struct job *job)
{
	int err = find_addresses(job);
	size_t at = 0;
	int64_t n;

	while (!err && at < job->n) {
		n = map_some(job, at);
		if (n > 0)
			at += (size_t)n;
		else if (n != -EAGAIN)
			err = (int)n;
		else if (job->tries++ >= TRIES)
			err = fail(job->flat, -EAGAIN, VARIABLE ": the memory at %p moves again and again",
				   (void *)job->buffer->pages);
	}
	return err;
}

/* Sets the segments of the buffer's bytes. */
static int set_segments(const struct job *job)
{
	struct flatiommu_dma *dma = &job->buffer->dma;
	const size_t page = small_page_size();
	const size_t skipped = (size_t)((char *)dma->memory - job->buffer->pages);
	struct flatiommu_dma_segment *segments;
	size_t count = 1, i, left = dma->length;

	for (i = 1; i < job->n; i++)
		count += job->addresses[i] != job->addresses[i - 1] + page;
	segments = calloc(count, sizeof(*segments));
	if (!segments)
		return fail(job->flat, -ENOMEM, "no memory for the segments of a buffer");
	count = 0;
	for (i = 0; i < job->n; i++) {
		size_t skip = i ? 0 : skipped, length = page - skip < left ? page - skip : left;

		if (!i || job->addresses[i] != job->addresses[i - 1] + page)
			segments[count++].address = job->addresses[i] + skip;
		segments[count - 1].length += length;
		left -= length;
	}
	dma->segments = segments;
	dma->nr_segments = count;
	return 0;
}

/*
 * Unmaps the pieces that no other buffer has. Returns 0, or the first error: a piece with an error
 * stays mapped, so it stays in the tree for the next buffer that has a part of it.
 */
static int put_pieces(struct flatiommu *flat, struct buffer *buffer, const struct backend *backend)
{
	int err = 0, ret;

	while (buffer->nr_pieces) {
		struct piece *piece = buffer->pieces[--buffer->nr_pieces];
		struct buffer part = part_of(buffer, piece, 0);

		if (--piece->users)
			continue;
		ret = backend->unmap(flat, &part);
		if (ret) {
			err = err ? err : ret;
			continue;
		}
		place_remove(&flat->fault->pieces, &piece->place);
		free(piece);
	}
	free(buffer->pieces);
	buffer->pieces = NULL;
	return err;
}

int fault_map(struct flatiommu *flat, struct buffer *buffer, const struct backend *backend)
{
	struct job job = {
		.flat = flat,
		.buffer = buffer,
		.backend = backend,
		.n = buffer->span / small_page_size(),
	};
	int err, ret;

	job.addresses = calloc(job.n, sizeof(*job.addresses));
	if (!job.addresses)
		return fail(flat, -ENOMEM, "no memory for the addresses of a buffer");
	pthread_mutex_lock(&flat->fault->lock);
	err = map_all(&job);
	if (!err)
		err = set_segments(&job);
	if (err) {
		ret = put_pieces(flat, buffer, backend);
		if (ret)
			keep_memory(flat, buffer, ret);
	}
	pthread_mutex_unlock(&flat->fault->lock);
	free(job.addresses);
	if (!err)
		write_log(flat->fault, "map", buffer);
	return err;
}

int fault_unmap(struct flatiommu *flat, struct buffer *buffer, const struct backend *backend)
{
	int err;

	write_log(flat->fault, "unmap", buffer);
	pthread_mutex_lock(&flat->fault->lock);
	err = put_pieces(flat, buffer, backend);
	pthread_mutex_unlock(&flat->fault->lock);
	return err;
}

void fault_tell(const struct flatiommu *flat, const char *what, const struct buffer *buffer)
{
	if (flat->fault)
		write_log(flat->fault, what, buffer);
}

void fault_forget(struct buffer *buffer)
{
	free(buffer->pieces);
}
