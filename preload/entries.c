// SPDX-License-Identifier: MIT
#include "entries.h"

#include <string.h>

#include "node.h"
#include "pins.h"
#include "say.h"

#define SIZE sizeof(uint64_t)
#define AT_ONCE 512

static uint64_t entries[AT_ONCE];

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Answers entries. This process cannot pin memory of another one: such entries become 0. */
static void answer(uint64_t page, uint64_t *to, size_t n, bool own)
{
	static bool said;

	if (own) {
		pins_answer(page, to, n);
		return;
	}
	if (!said)
		say("this process was forked, and the pagemap is its parent's: no address is told. Cure: open it again");
	said = true;
	memset(to, 0, n * SIZE);
}

void entries_answer(void *bytes, size_t n, uint64_t offset, bool own)
{
	uint64_t page = offset / SIZE;
	size_t done, part;

	if (!((uintptr_t)bytes % SIZE)) {
		answer(page, bytes, n / SIZE, own);
		return;
	}
	/* the program's memory may have any alignment */
	for (done = 0; done + SIZE <= n; done += part) {
		part = min((n - done) / SIZE, AT_ONCE) * SIZE;
		memcpy(entries, (char *)bytes + done, part);
		answer(page + done / SIZE, entries, part / SIZE, own);
		memcpy((char *)bytes + done, entries, part);
	}
}

void entries_answer_anew(void *bytes, size_t n, uint64_t offset, bool own)
{
	size_t done, part, count;

	for (done = 0; done < n; done += part) {
		uint64_t page = (offset + done) / SIZE;
		size_t in = (offset + done) % SIZE;

		part = min(n - done, AT_ONCE * SIZE - in);
		count = (in + part + SIZE - 1) / SIZE;
		if (!own || node_read(page, entries, count))
			memset(entries, 0, count * SIZE);
		answer(page, entries, count, own);
		memcpy((char *)bytes + done, (char *)entries + in, part);
	}
}
