// SPDX-License-Identifier: MIT
/* Checks of memory: what a program can get. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "doctor.h"
#include "memory.h"
#include "privilege.h"
#include "sysfs.h"

static void check_hugepages(struct doctor *doctor)
{
	unsigned long long bytes = hugepage_bytes(), entries = hugepage_entries();
	unsigned long long limit = entry_limit();
	char *zones;

	if (!bytes) {
		mend(doctor, RESERVE_HUGEPAGES, hugepages_to_reserve());
		say(doctor, WARNING, "none are reserved, and DPDK and SPDK need them");
		return;
	}
	say(doctor, OK, "%llu, of %llu MiB altogether", entries, bytes >> 20);
	if (entries > limit) {
		mend(doctor, RAISE_ENTRY_LIMIT, entries + SPARE_ENTRIES);
		say(doctor, WARNING,
		    "VFIO maps %llu at most, and there are %llu: DPDK goes on without the rest",
		    limit, entries);
	}
	zones = file_text("/proc/zoneinfo");
	for (char *zone = zones; zone && (zone = strstr(zone, "zone  Movable")); zone++) {
		char *present = strstr(zone, "present");

		if (!present || !strtoull(present + strlen("present"), NULL, 10))
			continue;
		mend(doctor, "echo online_kernel >/sys/devices/system/memory/auto_online_blocks");
		say(doctor, WARNING,
		    "there is memory in ZONE_MOVABLE; huge pages there move as they are pinned, and DPDK then does not start");
		break;
	}
	free(zones);
}

static void check_hugetlbfs(struct doctor *doctor)
{
	char *mounts = file_text("/proc/self/mounts");
	bool mounted = mounts && strstr(mounts, " hugetlbfs ");

	free(mounts);
	if (mounted) {
		say(doctor, OK, "hugetlbfs is mounted");
	} else if (hugepage_bytes()) {
		mend(doctor,
		     "mkdir -p /dev/hugepages && mount -t hugetlbfs hugetlbfs /dev/hugepages");
		say(doctor, WARNING, "hugetlbfs is not mounted: DPDK takes --in-memory only");
	}
}

void mend_memlock(struct doctor *doctor)
{
	struct rlimit hard;

	if (!getrlimit(RLIMIT_MEMLOCK, &hard) && hard.rlim_max != RLIM_INFINITY &&
	    !has_capability(CAP_SYS_RESOURCE))
		mend(doctor, "prlimit --pid $$ --memlock=unlimited");
	else
		mend_here(doctor, "ulimit -l unlimited");
}

static void check_memlock(struct doctor *doctor)
{
	unsigned long long limit = memlock_limit(), bytes = hugepage_bytes();

	if (has_capability(CAP_IPC_LOCK)) {
		say(doctor, OK, "no limit, by CAP_IPC_LOCK");
		return;
	}
	if (bytes <= limit && limit >= 64 << 20) {
		say(doctor, OK, "RLIMIT_MEMLOCK is %s",
		    limit == ~0ULL ? "unlimited" : "more than all huge pages");
		return;
	}
	mend_memlock(doctor);
	say(doctor, PROBLEM,
	    "RLIMIT_MEMLOCK is %llu KiB, huge pages are %llu KiB: DPDK goes on with memory that is not pinned",
	    limit / 1024, bytes / 1024);
}

static const struct check memory_checks[] = {
	{ "hugepages", check_hugepages },
	{ "hugetlbfs", check_hugetlbfs },
	{ "memlock", check_memlock },
	{ NULL, NULL }
};

void check_memory(struct doctor *doctor)
{
	run_checks(doctor, memory_checks);
}
