// SPDX-License-Identifier: MIT
/*
 * flatiommu run: a program that chooses physical addresses by itself.
 *
 * DPDK and SPDK take the presence of any IOMMU group for the presence of an IOMMU, and then map at
 * virtual addresses, which no claimed function has. In a mount namespace of its own the program
 * sees no group; its way to one, through the function's link, stays.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "memory.h"
#include "modules.h"
#include "output.h"
#include "pci.h"
#include "privilege.h"
#include "sysfs.h"

#define GROUPS "/sys/kernel/iommu_groups"

enum { FORCE, CHECK };

static const struct flag run_flags[] = {
	[FORCE] = { "force", NULL, "whatever is missing" },
	[CHECK] = { "check", NULL, "only say whether it would run, and how" },
	{ NULL, NULL, NULL }
};

static unsigned int count_behind(enum behind behind)
{
	struct functions functions = { 0 };
	unsigned int count = 0;
	size_t i;

	functions_scan(&functions);
	for (i = 0; i < functions.n; i++)
		count += functions.function[i].behind == behind;
	functions_free(&functions);
	return count;
}

static int need_capability(struct tool *tool, int capability, const char *name, const char *why)
{
	char lack[400];

	if (has_capability(capability))
		return 0;
	lack_text(lack, sizeof(lack), capability, name);
	if (geteuid() && !in_user_namespace())
		cure(tool, "sudo flatiommu run -- PROGRAM");
	return fail(tool, -EPERM, "run: %s (%s)", lack, why);
}

static int check_program(struct tool *tool)
{
	unsigned long long huge = hugepage_bytes();
	int ret;

	ret = need_capability(tool, CAP_SYS_RAWIO, "CAP_SYS_RAWIO",
			      "nobody else may have a function without an IOMMU");
	if (!ret)
		ret = need_capability(tool, CAP_SYS_ADMIN, "CAP_SYS_ADMIN",
				      "for the namespace, and DPDK reads /proc/self/pagemap with it");
	if (ret)
		return ret;
	if (!huge) {
		cure(tool, RESERVE_HUGEPAGES, hugepages_to_reserve());
		return fail(tool, -ENOMEM, "run: no huge pages are reserved");
	}
	if (!may_lock(huge)) {
		cure(tool, "ulimit -l unlimited");
		return fail(tool, -ENOMEM,
			    "run: RLIMIT_MEMLOCK is %llu KiB, huge pages are %llu KiB, and without CAP_IPC_LOCK the program would go on with memory that is not pinned",
			    memlock_limit() / 1024, huge / 1024);
	}
	if (hugepage_entries() > entry_limit()) {
		cure(tool, RAISE_ENTRY_LIMIT, hugepage_entries() + SPARE_ENTRIES);
		return fail(tool, -ENOSPC,
			    "run: VFIO maps %llu huge pages at most, there are %llu, and the program would go on with memory that is not pinned",
			    entry_limit(), hugepage_entries());
	}
	return 0;
}

/* Nothing of this reaches other processes: the namespace's mounts are made private first. */
static int hide_groups(struct tool *tool)
{
	if (unshare(CLONE_NEWNS))
		return fail(tool, -errno, "run: no mount namespace: %s%s", strerror(errno),
			    errno == EPERM ? ": it takes CAP_SYS_ADMIN, and a seccomp filter that lets unshare() be" :
			    errno == ENOSPC ? ": /proc/sys/user/max_mnt_namespaces has no more" : "");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return fail(tool, -errno, "run: /: %s", strerror(errno));
	if (mount("flatiommu", GROUPS, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=4k,mode=755"))
		return fail(tool, -errno, "run: " GROUPS ": %s", strerror(errno));
	return 0;
}

static void run_text(const struct tool *tool, struct json_object *what)
{
	(void)tool;
	printf("%s: %s\n", get_string(what, "program"),
	       json_object_get_boolean(get(what, "hidden")) ?
	       "IOMMU groups are hidden: it will use physical addresses" :
	       "nothing is hidden: no function is claimed");
}

static int run_run(struct tool *tool, const struct args *args)
{
	bool hide = count_behind(BEHIND_FLATIOMMU);
	int ret;

	/* where an IOMMU translates, it may as well use it */
	ret = hide && !args->values[FORCE] ? check_program(tool) : 0;
	if (ret)
		return ret;
	if (!hide && !count_behind(BEHIND_IOMMU) && !args->values[FORCE]) {
		cure(tool, "flatiommu bind DEVICE");
		return fail(tool, -ENODEV, "run: no function is claimed");
	}
	if (args->values[CHECK]) {
		struct json_object *what = json_object_new_object();

		put_string(what, "program", args->words[0]);
		put_bool(what, "hidden", hide);
		show(tool, what, run_text);
		return 0;
	}
	ret = hide ? hide_groups(tool) : 0;
	if (ret)
		return ret;
	execvp(args->words[0], args->words);
	ret = errno;
	/* as env(1) and shells do */
	fprintf(stderr, "flatiommu: run: %s: %s\n", args->words[0], strerror(ret));
	return ret == ENOENT ? 127 : 126;
}

const struct command run_command = {
	.name = "run",
	.words = "PROGRAM [ARGUMENT...]",
	.summary = "run a DPDK or SPDK program so that it uses physical addresses by itself",
	.flags = run_flags,
	.min_words = 1,
	.verbatim = true,
	.failure = 125,
	.run = run_run,
};
