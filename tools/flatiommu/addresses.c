// SPDX-License-Identifier: MIT
/*
 * flatiommu addresses: the physical addresses of a process's memory, as contiguous runs.
 *
 * While the memory is pinned, a program that looks its addresses up gets the same ones. Otherwise
 * the kernel may move it at any time: the output is for debugging, not for devices.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "numbers.h"
#include "output.h"
#include "privilege.h"
#include "sysfs.h"

enum { SUMMARY };

static const struct flag addresses_flags[] = {
	[SUMMARY] = { "summary", NULL, "print only how many segments there are, and how long they "
				       "are" },
	{ NULL, NULL, NULL }
};

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PFN ((1ULL << 55) - 1)
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_SWAPPED (1ULL << 62)
#define KPF_HUGE 17
#define KPF_THP 22
#define KPF_ZERO_PAGE 24

enum state { ABSENT, SWAPPED, PRESENT };

/**
 * struct run - memory at consecutive addresses, both virtual and physical
 * @kind:	kind of the kernel's pages
 */
struct run {
	unsigned long long virtual, physical, length;
	enum state state;
	const char *kind;
};

struct walk {
	struct json_object *runs;
	unsigned long long page_size;
	unsigned long long nr_runs, present, absent, swapped, shortest, longest;
	bool summary;
};

static int entry_at(int fd, unsigned long long page, unsigned long long *entry)
{
	ssize_t n = pread(fd, entry, sizeof(*entry), page * sizeof(*entry));

	return n == sizeof(*entry) ? 0 : n < 0 ? -errno : -EFAULT;
}

static const char *kind_of(int flags_fd, unsigned long long pfn)
{
	unsigned long long flags;

	if (flags_fd < 0 || entry_at(flags_fd, pfn, &flags))
		return NULL;
	return flags >> KPF_ZERO_PAGE & 1 ? "zero" :
	       flags >> KPF_HUGE & 1 ? "hugetlb" :
	       flags >> KPF_THP & 1 ? "thp" : "page";
}

static void end_run(struct walk *walk, const struct run *run)
{
	static const char *const states[] = { "absent", "swapped", "present" };
	struct json_object *o;

	if (!run->length)
		return;
	if (run->state == ABSENT) {
		walk->absent += run->length;
	} else if (run->state == SWAPPED) {
		walk->swapped += run->length;
	} else {
		walk->nr_runs++;
		walk->present += run->length;
		if (run->length > walk->longest)
			walk->longest = run->length;
		if (!walk->shortest || run->length < walk->shortest)
			walk->shortest = run->length;
	}
	if (walk->summary)
		return;
	o = add_object(walk->runs);
	put_address(o, "virtual", run->virtual);
	if (run->state == PRESENT)
		put_address(o, "address", run->physical);
	else
		put_string(o, "address", NULL);
	put_number(o, "length", run->length);
	put_string(o, "state", states[run->state]);
	put_string(o, "kind", run->kind);
}

/* Adds the page at @at, up to @end, to @run if it is contiguous with it, or begins a new run. */
static void add_page(struct walk *walk, struct run *run, unsigned long long at,
		     unsigned long long end, unsigned long long entry, int flags_fd)
{
	unsigned long long offset = at % walk->page_size, length = walk->page_size - offset;
	struct run page = { .virtual = at };

	page.length = end - at < length ? end - at : length;
	page.state = entry & PAGEMAP_PRESENT ? PRESENT : entry & PAGEMAP_SWAPPED ? SWAPPED : ABSENT;
	if (page.state == PRESENT) {
		page.physical = (entry & PAGEMAP_PFN) * walk->page_size + offset;
		page.kind = kind_of(flags_fd, entry & PAGEMAP_PFN);
	}
	if (run->length && run->state == page.state &&
	    (page.state != PRESENT || (run->physical + run->length == page.physical &&
				       run->kind == page.kind))) {
		run->length += page.length;
		return;
	}
	end_run(walk, run);
	*run = page;
}

/* Sets the cure, if sudo helps. */
static void cure_hidden(struct tool *tool, const char *pid, unsigned long long start,
			unsigned long long length)
{
	if (geteuid() && !in_user_namespace())
		cure(tool, "sudo flatiommu addresses %s 0x%llx %llu", pid, start, length);
}

static int walk_pages(struct tool *tool, struct walk *walk, const char *pid,
		      unsigned long long start, unsigned long long length)
{
	unsigned long long at, end = start + length, entry = 0;
	struct run run = { 0 };
	char path[64], lack[400];
	int fd, flags_fd, ret = 0;

	snprintf(path, sizeof(path), "/proc/%.20s/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return tool_fail(tool, -ESRCH, "%s: there is no such process", pid);
	if (fd < 0) {
		ret = -errno;
		if (ret == -EACCES || ret == -EPERM)
			cure_hidden(tool, pid, start, length);
		return tool_fail(tool, ret, "%s: %s%s", path, strerror(-ret), ret == -EACCES || ret == -EPERM ?
				 ": another user's process, or one with more privileges" : "");
	}
	flags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	for (at = start; at < end && !ret; at = (at / walk->page_size + 1) * walk->page_size) {
		ret = entry_at(fd, at / walk->page_size, &entry);
		if (ret == -EFAULT)
			ret = tool_fail(tool, ret, "0x%llx: is beyond the address space of process %s", at,
					pid);
		else if (ret)
			ret = tool_fail(tool, ret, "%s: %s", path, strerror(-ret));
		else
			add_page(walk, &run, at, end, entry, flags_fd);
		/* without CAP_SYS_ADMIN frame numbers are 0, silently */
		if (!ret && entry & PAGEMAP_PRESENT && !(entry & PAGEMAP_PFN)) {
			cure_hidden(tool, pid, start, length);
			lack_text(lack, sizeof(lack), CAP_SYS_ADMIN, "CAP_SYS_ADMIN");
			ret = tool_fail(tool, -EPERM, "%s: addresses are hidden: %s", path, lack);
		}
	}
	if (!ret)
		end_run(walk, &run);
	if (flags_fd >= 0)
		close(flags_fd);
	close(fd);
	return ret;
}

static void addresses_text(const struct tool *tool, struct json_object *what)
{
	static const struct column columns[] = {
		{ "VIRTUAL", "virtual" }, { "ADDRESS", "address" }, { "LENGTH", "length" },
		{ "STATE", "state" },	  { "PAGES", "kind" },	    { NULL, NULL },
	};
	struct json_object *runs = get(what, "segments");

	(void)tool;
	if (runs)
		show_table(runs, columns);
	printf("%s segments; %s bytes present, %s absent, %s swapped; shortest %s, longest %s\n",
	       get_string(what, "nr_segments"), get_string(what, "present"),
	       get_string(what, "absent"), get_string(what, "swapped"),
	       get_string(what, "shortest"), get_string(what, "longest"));
}

static int addresses_run(struct tool *tool, const struct args *args)
{
	struct walk walk = { .summary = args->values[SUMMARY] };
	unsigned long long pid = 0, start = 0, length = 0;
	struct json_object *what;
	int ret;

	walk.page_size = sysconf(_SC_PAGESIZE);
	ret = parse_number(tool, &pid, args->words[0]);
	if (!ret)
		ret = parse_number(tool, &start, args->words[1]);
	if (!ret)
		ret = parse_number(tool, &length, args->words[2]);
	if (!ret && (!length || start + length < start))
		ret = tool_fail(tool, -EINVAL, "%s: not a length", args->words[2]);
	if (ret)
		return ret;
	walk.runs = json_object_new_array();
	ret = walk_pages(tool, &walk, args->words[0], start, length);
	if (ret) {
		json_object_put(walk.runs);
		return ret;
	}
	what = json_object_new_object();
	put_number(what, "pid", pid);
	if (walk.summary)
		json_object_put(walk.runs);
	else
		json_object_object_add(what, "segments", walk.runs);
	put_number(what, "nr_segments", walk.nr_runs);
	put_number(what, "present", walk.present);
	put_number(what, "absent", walk.absent);
	put_number(what, "swapped", walk.swapped);
	put_number(what, "shortest", walk.shortest);
	put_number(what, "longest", walk.longest);
	show(tool, what, addresses_text);
	return 0;
}

const struct command addresses_command = {
	.name = "addresses",
	.words = "PID ADDRESS LENGTH",
	.summary = "show where a process's memory is, contiguous segment by segment",
	.flags = addresses_flags,
	.min_words = 3,
	.max_words = 3,
	.run = addresses_run,
};
