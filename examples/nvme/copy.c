// SPDX-License-Identifier: MIT
/*
 * Keeps up to qdepth commands in flight. Slots are a ring and the oldest is collected first, so
 * data stays in order while the controller works on the rest.
 */
#define _GNU_SOURCE 1
#include "copy.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../log.h"

struct ring {
	unsigned int oldest;
	unsigned int in_flight;
	uint64_t lba;				/* of the oldest */
	uint32_t blocks[NVME_QDEPTH_MAX];	/* of each slot */
};

static unsigned int free_slot(const struct nvme *n, const struct ring *r)
{
	return (r->oldest + r->in_flight) % n->qdepth;
}

static int start(struct nvme *n, struct ring *r, uint8_t opcode, uint64_t lba, uint32_t blocks)
{
	unsigned int slot = free_slot(n, r);
	int err;

	err = nvme_start(n, slot, opcode, lba, blocks);
	if (err) {
		log_error("blocks %llu to %llu could not be asked for: %s", (unsigned long long)lba,
			  (unsigned long long)(lba + blocks - 1), strerror(-err));
		return err;
	}
	r->blocks[slot] = blocks;
	r->in_flight++;
	return 0;
}

static int finish_oldest(struct nvme *n, struct ring *r)
{
	uint32_t blocks = r->blocks[r->oldest];
	int err;

	err = nvme_finish(n, r->oldest);
	if (err)
		log_error("blocks %llu to %llu: %s", (unsigned long long)r->lba,
			  (unsigned long long)(r->lba + blocks - 1), strerror(-err));
	else
		r->lba += blocks;
	r->oldest = (r->oldest + 1) % n->qdepth;
	r->in_flight--;
	return err;
}

/* After a failure: commands in flight still use their parts of the buffer, so waits for them. */
static void drain(struct nvme *n, struct ring *r)
{
	for (; r->in_flight && !n->broken; r->in_flight--) {
		nvme_finish(n, r->oldest);
		r->oldest = (r->oldest + 1) % n->qdepth;
	}
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t done = write(fd, data, size);

		if (done < 0) {
			int err = -errno;

			log_error("output: %s", strerror(-err));
			return err;
		}
		data += done;
		size -= (size_t)done;
	}
	return 0;
}

/* Returns 0, -EINTR after a signal, or -ENODEV if the kernel asks for the device. */
static int go_on(const struct nvme *n, const volatile sig_atomic_t *stop)
{
	if (*stop)
		return -EINTR;
	if (!nvme_is_asked_for(n))
		return 0;
	log_error("%s: is asked for: stopping", n->name);
	return -ENODEV;
}

/*
 * Reads @size bytes, or fewer at the end of the file. Returns their number, or -errno: also if a
 * signal comes, or the kernel asks for the device, while there is no input.
 */
static ssize_t read_all(const struct nvme *n, int fd, char *data, size_t size)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = n->asked_for, .events = POLLIN },
	};
	const volatile sig_atomic_t running = 0;
	size_t have = 0;

	while (have < size) {
		ssize_t done = poll(fds, 2, -1);

		if (done > 0 && fds[1].revents)
			return go_on(n, &running);
		if (done > 0)
			done = read(fd, data + have, size - have);

		if (done < 0) {
			int err = -errno;

			log_error("input: %s", strerror(-err));
			return err;
		}
		if (!done)
			break;
		have += (size_t)done;
	}
	return (ssize_t)have;
}

static int check_range(const struct nvme *n, uint64_t lba, uint64_t count)
{
	int err;

	err = nvme_check_namespace(n);
	if (err)
		return err;
	if (lba <= n->blocks && count <= n->blocks - lba)
		return 0;
	log_error("%llu blocks from block %llu on: the namespace ends after block %llu",
		  (unsigned long long)count, (unsigned long long)lba,
		  (unsigned long long)n->blocks - 1);
	return -ERANGE;
}

int copy_read(struct nvme *n, uint64_t lba, uint64_t count, int fd,
	      const volatile sig_atomic_t *stop)
{
	struct ring r = { .lba = lba };
	uint64_t end = lba + count;
	int err;

	err = check_range(n, lba, count);
	while (!err && (lba < end || r.in_flight)) {
		err = go_on(n, stop);
		if (err)
			break;
		if (lba < end && r.in_flight < n->qdepth) {
			uint64_t blocks = n->max_transfer / n->block_size;

			if (blocks > end - lba)
				blocks = end - lba;
			err = start(n, &r, NVME_CMD_READ, lba, (uint32_t)blocks);
			lba += blocks;
		} else {
			unsigned int slot = r.oldest;

			err = finish_oldest(n, &r);
			if (!err)
				err = write_all(fd, nvme_slot_data(n, slot),
						(size_t)r.blocks[slot] * n->block_size);
		}
	}
	drain(n, &r);
	return err;
}

static int short_block(const struct nvme *n, uint64_t tail)
{
	log_error("input ends with %llu bytes of a block of %u bytes. Cure: pad it to whole blocks",
		  (unsigned long long)tail, n->block_size);
	return -EINVAL;
}

/* The size of a regular file is known: fail before the first block is written. */
static int check_input(const struct nvme *n, uint64_t lba, int fd)
{
	struct stat st;
	off_t at;
	uint64_t size;
	int err;

	err = check_range(n, lba, 0);
	if (err)
		return err;
	at = lseek(fd, 0, SEEK_CUR);
	if (at < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return 0;
	size = st.st_size > at ? (uint64_t)(st.st_size - at) : 0;
	if (size % n->block_size)
		return short_block(n, size % n->block_size);
	return check_range(n, lba, size / n->block_size);
}

/* Fills the next slot from the input. *@blocks is 0 at the end of the input. */
static int next_input(const struct nvme *n, const struct ring *r, int fd, uint64_t lba,
		      uint32_t *blocks)
{
	char *data = nvme_slot_data(n, free_slot(n, r));
	ssize_t size = read_all(n, fd, data, n->max_transfer);

	if (size < 0)
		return (int)size;
	if ((size_t)size % n->block_size)
		return short_block(n, (size_t)size % n->block_size);
	*blocks = (uint32_t)((size_t)size / n->block_size);
	return check_range(n, lba, *blocks);
}

int copy_write(struct nvme *n, uint64_t lba, int fd, const volatile sig_atomic_t *stop)
{
	struct ring r = { .lba = lba };
	const uint64_t first = lba;
	bool more = true;
	int err;

	err = check_input(n, lba, fd);
	if (err)
		return err;
	while (!err && (more || r.in_flight)) {
		err = go_on(n, stop);
		if (err)
			break;
		if (more && r.in_flight < n->qdepth) {
			uint32_t blocks = 0;

			err = next_input(n, &r, fd, lba, &blocks);
			more = blocks;
			if (!err && blocks)
				err = start(n, &r, NVME_CMD_WRITE, lba, blocks);
			if (!err)
				lba += blocks;
		} else {
			err = finish_oldest(n, &r);
		}
	}
	if (!err)
		return nvme_flush(n);
	drain(n, &r);
	if (lba > first && !n->broken)
		nvme_flush(n);
	if (lba > first)
		log_error("blocks %llu to %llu may have been written, the rest has not",
			  (unsigned long long)first, (unsigned long long)lba - 1);
	return err;
}
