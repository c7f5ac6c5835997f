// SPDX-License-Identifier: MIT
/*
 * A kernel that pins whatever it is asked to, and says that a page's frame is the page's
 * number, turned a bit.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../preload/node.h"
#include "../../../preload/raw.h"
#include "../../../preload/scan.h"
#include "node.h"

#define MOST 4096

static struct {
	uint64_t page, pages;
} pins[MOST];
static uint64_t nr_pinned;
static int own = -1;

uint64_t fake_pinned(void)
{
	return nr_pinned;
}

int fake_file(void)
{
	return own;
}

unsigned int node_page_shift(void)
{
	return 12;
}

static void tell(uint64_t page, uint64_t pages, struct answer *answer)
{
	answer->nr = 1;
	answer->pages = pages;
	answer->segments[0] = (struct flatiommu_segment){ .address = fake_frame(page) << 12,
							  .length = pages << 12 };
}

int node_pin(uint64_t page, uint64_t pages, struct answer *answer)
{
	uint32_t id;

	if (own < 0)
		own = raw_open("/dev/null", O_RDWR);
	for (id = 1; id < MOST && pins[id].pages; id++)
		;
	if (id == MOST)
		return -ENOSPC;
	pins[id].page = page;
	pins[id].pages = pages;
	nr_pinned += pages;
	answer->pin = id;
	tell(page, pages, answer);
	return 0;
}

int node_look_up(uint64_t offset, uint64_t pages, unsigned int most, struct answer *answer)
{
	(void)most;
	tell(pins[answer->pin].page + offset, pages, answer);
	return 0;
}

void node_unpin(uint32_t pin)
{
	nr_pinned -= pins[pin].pages;
	pins[pin].pages = 0;
}

int node_read(uint64_t page, uint64_t *entries, size_t n)
{
	int fd = raw_open("/proc/self/pagemap", O_RDONLY);
	long ret = raw(SYS_pread64, fd, entries, n * 8, page * 8);

	raw_close(fd);
	return ret == (long)n * 8 ? 0 : -EIO;
}

int node_are_present(uint64_t page, uint64_t pages, bool *shared)
{
	int fd = raw_open("/proc/self/pagemap", O_RDONLY);
	int ret = scan_present(fd, page << 12, (page + pages) << 12, shared);

	raw_close(fd);
	return ret;
}

uint64_t node_count_there(uint64_t page, uint64_t n, bool *there)
{
	unsigned char state = 0;

	(void)n;
	*there = !raw(SYS_mincore, page << 12, 4096, &state) && state & 1;
	return 1;
}

bool node_is_lost(void)
{
	return false;
}

void node_uses(const char *path)
{
	(void)path;
}

int node_next(int fd)
{
	return own >= fd ? own : -1;
}

bool node_has(int fd)
{
	return fd >= 0 && fd == own;
}

int node_make_way(int fd)
{
	own = (int)raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, fd + 1);
	return own < 0 ? own : 0;
}

void node_forget(pid_t parent)
{
	(void)parent;
	memset(pins, 0, sizeof(pins));
	nr_pinned = 0;
}

void node_retry(void)
{
}

void node_say(int err, uint64_t page, uint64_t pages)
{
	(void)err;
	(void)page;
	(void)pages;
	abort();
}
