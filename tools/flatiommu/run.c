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

#include "doctor.h"
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

static unsigned int count_behind(const struct functions *functions, enum behind behind)
{
	unsigned int count = 0;
	size_t i;

	for (i = 0; i < functions->n; i++)
		count += functions->function[i].behind == behind;
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

/* The first line of doctor's that is a problem is why the program would not start. */
static int refuse(struct tool *tool, struct json_object *lines)
{
	size_t i;

	for (i = 0; i < json_object_array_length(lines); i++) {
		struct json_object *line = json_object_array_get_idx(lines, i);
		const char *remedy = get_string(line, "cure");

		if (strcmp(get_string(line, "state"), "problem"))
			continue;
		if (remedy)
			cure(tool, "%s", remedy);
		return fail(tool, -ENOMEM, "run: %s: %s", get_string(line, "check"),
			    get_string(line, "text"));
	}
	return 0;
}

static bool has_word(const struct args *args, const char *word)
{
	int i;

	for (i = 0; i < args->nr_words; i++)
		if (!strcmp(args->words[i], word))
			return true;
	return false;
}

static int check_memory_of(struct tool *tool, const struct args *args,
			   const struct functions *functions)
{
	struct doctor doctor = { .program = true, .functions = *functions };
	const struct check *check;
	int ret;

	doctor.lines = json_object_new_array();
	memory_read(&doctor.memory, "self");
	for (check = memory_checks; check->name; check++) {
		/* a program that has no files in hugetlbfs needs none mounted */
		if (check->run == check_hugetlbfs && has_word(args, "--in-memory"))
			continue;
		doctor.check = check->name;
		check->run(&doctor);
	}
	ret = refuse(tool, doctor.lines);
	json_object_put(doctor.lines);
	return ret;
}

static int check_program(struct tool *tool, const struct args *args,
			 const struct functions *functions)
{
	int ret;

	ret = need_capability(tool, CAP_SYS_RAWIO, "CAP_SYS_RAWIO",
			      "nobody else may have a function without an IOMMU");
	if (!ret)
		ret = need_capability(tool, CAP_SYS_ADMIN, "CAP_SYS_ADMIN",
				      "for the namespace, and DPDK reads /proc/self/pagemap with it");
	return ret ? ret : check_memory_of(tool, args, functions);
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
	struct functions functions = { 0 };
	bool hide, iommu;
	int ret = 0;

	functions_scan(&functions);
	hide = count_behind(&functions, BEHIND_FLATIOMMU);
	iommu = count_behind(&functions, BEHIND_IOMMU);
	/* where an IOMMU translates, it may as well use it */
	if (hide && !args->values[FORCE])
		ret = check_program(tool, args, &functions);
	functions_free(&functions);
	if (ret)
		return ret;
	if (!hide && !iommu && !args->values[FORCE]) {
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
