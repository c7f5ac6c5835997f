// SPDX-License-Identifier: MIT
/* Checks of memory: what the process can get. Huge pages have a file of their own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "doctor.h"
#include "memory.h"
#include "mountinfo.h"
#include "privilege.h"
#include "sysfs.h"

/* Ordinary memory that DPDK and SPDK use besides huge pages. */
#define ORDINARY (64ULL << 20)

/* How usable a mount of hugetlbfs is, from bad to good. */
enum use { NOT_MOUNTED, NOT_ALLOWED, READ_ONLY, FULL, GOOD };

/**
 * struct place - the best mount for pages of one size
 * @path:	directory of the mount
 * @room:	pages that fit, or ~0ULL
 */
struct place {
	enum use use;
	char path[PATH_MAX];
	unsigned long long room;
};

/*
 * Returns the pages that fit in a mount, by size= and nr_inodes=. statfs() knows only size=. A page
 * needs a file.
 */
static unsigned long long room_in(const struct mountinfo *m)
{
	const char *inodes = mountinfo_option(m, "nr_inodes");
	unsigned long long room = ~0ULL, most;
	struct names names;
	struct statfs fs;

	if (!statfs(m->point, &fs) && fs.f_blocks && (long long)fs.f_blocks > 0)
		room = fs.f_bavail;
	if (inodes && !names_read(&names, "%s", m->point)) {
		/* the root directory needs one inode */
		most = strtoull(inodes, NULL, 10);
		most = most > names.n + 1 ? most - names.n - 1 : 0;
		room = most < room ? most : room;
		names_free(&names);
	}
	return room;
}

static void find_place(struct place *best, unsigned long long size)
{
	char *text = file_text("/proc/self/mountinfo"), *rest = text;
	struct mountinfo m;

	memset(best, 0, sizeof(*best));
	while (mountinfo_next(&rest, &m)) {
		unsigned long long room = 0;
		enum use use = NOT_ALLOWED;

		if (hugetlbfs_page_size(&m) != size)
			continue;
		if (!access(m.point, W_OK | X_OK)) {
			room = room_in(&m);
			use = room ? GOOD : FULL;
		} else if (errno == EROFS) {
			use = READ_ONLY;
		}
		if (use < best->use || (use == best->use && room <= best->room))
			continue;
		best->use = use;
		best->room = room;
		snprintf(best->path, sizeof(best->path), "%s", m.point);
	}
	free(text);
}

/* A mount on top of another one hides it: only pages of the default size are at /dev/hugepages. */
static void mend_mount(struct doctor *doctor, unsigned long long size)
{
	char dir[64] = "/dev/hugepages";

	if (size != default_hugepage())
		snprintf(dir, sizeof(dir), "/dev/hugepages%llu%c",
			 size >> 30 ? size >> 30 : size >> 20 ? size >> 20 : size >> 10,
			 size >> 30 ? 'G' : size >> 20 ? 'M' : 'K');
	mend(doctor, "mkdir -p %s && mount -t hugetlbfs -o pagesize=%lluK hugetlbfs %s", dir, size >> 10, dir);
}

static void say_place(struct doctor *doctor, const struct place *place, unsigned long long size,
		      enum verdict verdict)
{
	switch (place->use) {
	case NOT_MOUNTED:
		mend_mount(doctor, size);
		say(doctor, verdict, "%s: hugetlbfs is not mounted: DPDK works only with "
		    "--in-memory",
		    SIZE_TEXT(size));
		break;
	case NOT_ALLOWED:
		mend(doctor, "chown %u %s", geteuid(), place->path);
		say(doctor, verdict, "%s: %s cannot be written to by this user (%u): DPDK works "
		    "only with --in-memory",
		    SIZE_TEXT(size), place->path, geteuid());
		break;
	case READ_ONLY:
		mend(doctor, "mount -o remount,rw %s", place->path);
		say(doctor, verdict, "%s: %s is mounted read-only", SIZE_TEXT(size), place->path);
		break;
	case FULL:
		mend_mount(doctor, size);
		say(doctor, verdict, "%s: %s is full, by its size= or nr_inodes=", SIZE_TEXT(size),
		    place->path);
		break;
	case GOOD:
		if (place->room == ~0ULL)
			say(doctor, OK, "%s: %s", SIZE_TEXT(size), place->path);
		else
			say(doctor, OK, "%s: %s, which has room for %llu", SIZE_TEXT(size), place->path,
			    place->room);
		break;
	}
}

void check_hugetlbfs(struct doctor *doctor)
{
	const struct memory *m = &doctor->memory;
	struct place places[POOLS_MAX];
	bool any = false;
	size_t i;

	for (i = 0; i < m->nr_pools; i++) {
		find_place(&places[i], m->pool[i].size);
		any |= places[i].use == GOOD &&
		       (pool_available(&m->pool[i]) || m->pool[i].files.dpdk);
	}
	for (i = 0; i < m->nr_pools; i++)
		if (m->pool[i].total || m->pool[i].more || places[i].use == GOOD)
			say_place(doctor, &places[i], m->pool[i].size,
				  doctor->program && !any ? PROBLEM : WARNING);
}

void mend_memlock(struct doctor *doctor)
{
	struct rlimit hard;

	if (doctor->pid)
		mend(doctor, "prlimit --pid %s --memlock=unlimited:unlimited", doctor->pid);
	else if (!getrlimit(RLIMIT_MEMLOCK, &hard) && hard.rlim_max != RLIM_INFINITY &&
		 !has_capability(CAP_SYS_RESOURCE))
		mend(doctor, "prlimit --pid $$ --memlock=unlimited");
	else
		mend_here(doctor, "ulimit -l unlimited");
}

static void check_memlock(struct doctor *doctor)
{
	unsigned long long limit = doctor->memory.memlock, bytes = memory_bytes(&doctor->memory);
	unsigned long long locked = doctor->memory.locked;
	const char *service = doctor->memory.service;
	char beside[64] = "";

	if (doctor->pinned_twice)
		bytes *= 2;
	if (has_capability(CAP_IPC_LOCK)) {
		say(doctor, OK, "no limit, by CAP_IPC_LOCK");
		return;
	}
	if (locked)
		snprintf(beside, sizeof(beside), " and %llu KiB that are locked", locked / 1024);
	if (limit == ~0ULL || (bytes + locked <= limit && limit - locked >= ORDINARY)) {
		say(doctor, OK, "RLIMIT_MEMLOCK is %s%s",
		    limit == ~0ULL ? "unlimited" : "more than all free huge pages", limit == ~0ULL ? "" : beside);
		return;
	}
	mend_memlock(doctor);
	say(doctor, PROBLEM,
	    "RLIMIT_MEMLOCK is %llu KiB, huge pages%s are %llu KiB%s: DPDK goes on with memory that is not pinned%s%s",
	    limit / 1024, doctor->pinned_twice ? ", pinned by pagemap and by VFIO," : "", bytes / 1024, beside,
	    *service ? "; once it is started again, LimitMEMLOCK= decides in " : "", service);
}

static void check_cgroup(struct doctor *doctor)
{
	const struct memory *m = &doctor->memory;

	if (m->allowed == ~0ULL)
		return;
	if (m->allowed < ORDINARY)
		mend(doctor, "echo %s >%s", strstr(m->limit, "limit_in_bytes") ? "-1" : "max", m->limit);
	say(doctor, m->allowed < ORDINARY ? WARNING : OK, "%s leaves the process %llu MiB of ordinary memory",
	    m->limit, m->allowed >> 20);
}

const struct check memory_checks[] = {
	{ "hugepages", check_hugepages },
	{ "hugetlbfs", check_hugetlbfs },
	{ "numa", check_nodes },
	{ "memlock", check_memlock },
	{ "cgroup", check_cgroup },
	{ NULL, NULL }
};

void check_memory(struct doctor *doctor)
{
	run_checks(doctor, memory_checks);
}
