// SPDX-License-Identifier: MIT
/*
 * Export and import of buffers: the memory's file, and a sealed file with the segments. Data from
 * another process is not trusted: the import checks it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "memory.h"

#define TABLE_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Without the NUL at its end. */
static const char magic[] = "flatdma1";

struct table {
	char magic[8];
	uint64_t length;
	uint64_t span;
	uint64_t page_size;
	uint64_t nr_segments;
	/* Identify the file of the memory. @dev is 0 for memory of FLATIOMMU_ALLOC. */
	uint64_t dev;
	uint64_t ino;
};

/* Sets @span, @dev and @ino of @table. Fails for a file that can shrink. */
static int identify(int fd, struct table *table)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	table->dev = 0;
	if (seals < 0)
		return errno == EBADF ? -EBADF : reach_identify(fd, &table->span, &table->ino);
	if (!(seals & F_SEAL_SHRINK))
		return -EBADMSG;
	if (fstat(fd, &st))
		return -errno;
	table->span = (uint64_t)st.st_size;
	table->dev = st.st_dev;
	table->ino = st.st_ino;
	return 0;
}

static int write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t done = write(fd, at, size);

		if (done < 0)
			return -errno;
		at += done;
		size -= (size_t)done;
	}
	return 0;
}

static int make_table(const struct buffer *buffer)
{
	struct table table = {
		.length = buffer->dma.length,
		.page_size = buffer->dma.page_size,
		.nr_segments = buffer->dma.nr_segments,
	};
	int err = identify(buffer->file, &table), fd;

	if (err)
		return err;
	memcpy(table.magic, magic, sizeof(table.magic));
	fd = memfd_create("flatiommu-segments", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	err = write_all(fd, &table, sizeof(table));
	if (!err)
		err = write_all(fd, buffer->dma.segments,
				buffer->dma.nr_segments * sizeof(*buffer->dma.segments));
	if (!err && fcntl(fd, F_ADD_SEALS, TABLE_SEALS))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int export(const struct buffer *buffer, int *memory, int *table)
{
	int new_memory, new_table;

	if (!memory || !table)
		return fail(buffer->flat, -EINVAL, "flatiommu_dma_export: NULL is no file descriptor");
	if (buffer->file < 0 || buffer->is_dmabuf)
		return fail(buffer->flat, -EOPNOTSUPP, "the buffer at %p cannot be exported. Cure: allocate "
			    "it with FLATIOMMU_DMA_SHARED", buffer->dma.memory);
	new_memory = fcntl(buffer->file, F_DUPFD_CLOEXEC, 0);
	if (new_memory < 0)
		return fail(buffer->flat, -errno, "the file of a buffer: %s", ERRNO(-errno));
	new_table = make_table(buffer);
	if (new_table < 0) {
		close(new_memory);
		return fail(buffer->flat, new_table, "a file of segments: %s", ERRNO(new_table));
	}
	*memory = new_memory;
	*table = new_table;
	return 0;
}

int flatiommu_dma_export(const struct flatiommu_dma *dma, int *memory, int *table)
{
	return dma ? CALL(buffer_of(dma)->flat, export(buffer_of(dma), memory, table)) : -EINVAL;
}

/* Reads a sealed table, which the caller frees. */
static int read_table(int fd, struct table **table)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct table head, *t;
	struct stat st;

	if (seals < 0)
		return errno == EBADF ? -EBADF : -EBADMSG;
	if ((seals & TABLE_SEALS) != TABLE_SEALS || fstat(fd, &st) ||
	    (size_t)st.st_size < sizeof(*t))
		return -EBADMSG;
	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    memcmp(head.magic, magic, sizeof(head.magic)) ||
	    head.nr_segments > head.span / small_page_size() ||
	    (uint64_t)st.st_size !=
		    sizeof(head) + head.nr_segments * sizeof(struct flatiommu_dma_segment))
		return -EBADMSG;
	t = malloc((size_t)st.st_size);
	if (!t)
		return -ENOMEM;
	if (pread(fd, t, (size_t)st.st_size, 0) != st.st_size) {
		free(t);
		return -EBADMSG;
	}
	*table = t;
	return 0;
}

static bool is_page_size(uint64_t size)
{
	return size == small_page_size() || size == huge_page_size(FLATIOMMU_PAGES_HUGE) ||
	       size == huge_page_size(FLATIOMMU_PAGES_1G);
}

/* Is the table about this file? */
static int check_memory(int fd, const struct table *table)
{
	struct table file;
	int err = identify(fd, &file);

	if (err)
		return err == -EBADF ? err : -EBADMSG;
	if (file.dev != table->dev || file.ino != table->ino || file.span != table->span ||
	    !table->length || table->length > table->span || !is_page_size(table->page_size))
		return -EBADMSG;
	return 0;
}

static int copy_segments(struct buffer *buffer, const struct table *table)
{
	const struct flatiommu_dma_segment *from = (const void *)(table + 1);
	size_t n = table->nr_segments, i;
	struct flatiommu_dma_segment *segments = calloc(n ? n : 1, sizeof(*segments));
	uint64_t at = 0;
	int err;

	buffer->dma.segments = segments;
	if (!segments)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		if (!from[i].length || from[i].length > table->length - at)
			return -EBADMSG;
		segments[i] = from[i];
		at += from[i].length;
	}
	buffer->dma.nr_segments = n;
	if (at != table->length)
		return -EBADMSG;
	/* -EINVAL: a segment begins within a page, so the library did not write the table. */
	err = index_segments(buffer);
	return err == -EINVAL ? -EBADMSG : err;
}

static int import(struct buffer *buffer, int memory, const struct table *table)
{
	void *pages;
	int err = check_memory(memory, table);

	if (err)
		return err;
	pages = mmap(NULL, table->span, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (pages == MAP_FAILED)
		return -errno;
	buffer->dma.memory = pages;
	buffer->dma.length = table->length;
	buffer->dma.page_size = table->page_size;
	buffer->pages = pages;
	buffer->span = table->span;
	buffer->owned = true;
	return copy_segments(buffer, table);
}

static int import_dma(int memory, int table, struct flatiommu_dma **dma)
{
	struct table *contents;
	struct buffer *buffer;
	int err;

	if (!dma)
		return -EINVAL;
	err = read_table(table, &contents);
	if (err)
		return err;
	buffer = calloc(1, sizeof(*buffer));
	if (buffer) {
		buffer->file = -1;
		buffer->dma.impl = (void *)buffer;
		err = import(buffer, memory, contents);
	} else {
		err = -ENOMEM;
	}
	free(contents);
	if (!err)
		*dma = &buffer->dma;
	else if (buffer)
		free_buffer(buffer);
	return err;
}

int flatiommu_dma_import(int memory, int table, struct flatiommu_dma **dma)
{
	return CALL_ALONE(import_dma(memory, table, dma));
}
