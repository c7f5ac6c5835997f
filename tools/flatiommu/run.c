// SPDX-License-Identifier: MIT
/*
 * flatiommu run: runs a program that uses physical addresses, with its memory pinned.
 *
 * If there is any IOMMU group, DPDK and SPDK assume an IOMMU and map at virtual addresses, which
 * the module refuses for a claimed function. So the program runs in a mount namespace where it sees
 * no group, in any sysfs. It still finds the function's group by the function's link. This needs
 * CAP_SYS_ADMIN.
 *
 * A preloaded library (preload/) answers reads of pagemap from pins, and hides the groups, too,
 * also those of a sysfs that is mounted later, as "ip netns exec" does it.
 * Other ways would be:
 * - A file of the module over /proc/PID/pagemap: it must be mounted for each process, with
 *   CAP_SYS_ADMIN.
 * - A seccomp notifier: it would work for static programs, too. But every read() would go through
 *   this process, which would have to pin memory of another one, and the program would need
 *   no_new_privs or CAP_SYS_ADMIN.
 * The library needs no privilege, and has a cost only when pagemap is read or pinned memory is
 * unmapped.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../../preload/variable.h"
#include "doctor.h"
#include "hide.h"
#include "modules.h"
#include "output.h"
#include "pci.h"
#include "preload.h"
#include "privilege.h"
#include "run-fault.h"
#include "sysfs.h"

enum { FORCE, CHECK, FAULT };

static const struct flag run_flags[] = {
	[FORCE] = { "force", NULL, "whatever is missing" },
	[CHECK] = { "check", NULL, "only say whether it would run, and how" },
	[FAULT] = { "fault", NULL, "behind an IOMMU: report accesses to other memory than the program's buffers" },
	{ NULL, NULL, NULL }
};

/**
 * struct way - how a program is run
 * @claimed:	there are claimed functions, so groups must be hidden
 * @uio:	there are functions with a uio driver
 * @may_mount:	this process may make a mount namespace
 * @library:	the library to preload, or ""
 * @why_not:	why no library can be preloaded, or NULL
 * @left:	the mount namespace that the program leaves for one of its own, or ""
 */
struct way {
	bool claimed, uio, may_mount;
	char library[512], left[64];
	const char *why_not;
};

static bool has_library(const struct way *way)
{
	return *way->library && !way->why_not;
}

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
	return tool_fail(tool, -EPERM, "run: %s (%s)", lack, why);
}

/* Does a capability of this process stay with the program that it becomes? */
static bool is_kept(int capability)
{
	return !geteuid() || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1;
}

/* Fails with doctor's first line that is a problem: the program would not start because of it. */
static int refuse(struct tool *tool, struct json_object *lines)
{
	size_t i;

	for (i = 0; i < json_object_array_length(lines); i++) {
		struct json_object *line = json_object_array_get_idx(lines, i);
		const char *step = get_string(line, "cure");

		if (strcmp(get_string(line, "state"), "problem"))
			continue;
		if (step)
			cure(tool, "%s", step);
		return tool_fail(tool, -ENOMEM, "run: %s: %s", get_string(line, "check"),
				 get_string(line, "text"));
	}
	return 0;
}

static unsigned int count_uio(const struct functions *functions)
{
	unsigned int count = 0;
	size_t i;

	for (i = 0; i < functions->n; i++)
		count += functions->function[i].behind == BEHIND_NOTHING &&
			 strstr(functions->function[i].driver, "uio");
	return count;
}

static void find_way(struct way *way, const char *program, const struct functions *functions)
{
	way->claimed = count_behind(functions, BEHIND_FLATIOMMU);
	way->uio = count_uio(functions);
	if (!way->claimed && !way->uio)
		return;
	way->may_mount = has_capability(CAP_SYS_ADMIN);
	preload_find(way->library, sizeof(way->library));
	if (!*way->library)
		way->why_not = "libflatiommu-pagemap.so is not there";
	else
		way->why_not = preload_not_for(program);
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
			   const struct functions *functions, const struct way *way)
{
	struct doctor doctor = { .program = true, .functions = *functions };
	const struct check *check;
	int ret;

	/* once by pins for pagemap, and once by VFIO */
	doctor.pinned_twice = has_library(way) && way->claimed;
	doctor.lines = json_object_new_array();
	memory_read(&doctor.memory, "self");
	for (check = memory_checks; check->name; check++) {
		/* with --in-memory the program makes no files in hugetlbfs */
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
			 const struct functions *functions, const struct way *way)
{
	char why[200];
	int ret;

	if (access("/proc/self", F_OK)) {
		cure(tool, "mount -t proc proc /proc");
		return tool_fail(tool, -ENOENT,
				 "run: /proc is not mounted, or shows another PID namespace, and pagemap is there");
	}
	ret = need_capability(tool, CAP_SYS_RAWIO, "CAP_SYS_RAWIO",
			      "nobody else may have a function without an IOMMU");
	if (!ret && !has_library(way)) {
		snprintf(why, sizeof(why),
			 "for the namespace, and DPDK reads /proc/self/pagemap with it; without it a library that is preloaded does, but %s",
			 way->why_not);
		ret = need_capability(tool, CAP_SYS_ADMIN, "CAP_SYS_ADMIN", why);
	}
	/* Capabilities of the program's file would be enough, but exclude the preloaded library. */
	if (!ret && has_library(way) && !is_kept(CAP_SYS_RAWIO)) {
		cure(tool, "sudo flatiommu run -- PROGRAM; in a service: AmbientCapabilities=CAP_SYS_RAWIO CAP_IPC_LOCK");
		ret = tool_fail(tool, -EPERM,
				"run: CAP_SYS_RAWIO ends where the program starts: it is no ambient capability");
	}
	return ret ? ret : check_memory_of(tool, args, functions, way);
}

/*
 * Hides the groups in a new mount namespace. Other processes do not see its mounts, but their
 * mounts and unmounts take effect in it, too.
 */
static int enter_namespace(struct tool *tool, struct way *way)
{
	const char *where = "/";
	ssize_t n;
	int ret;

	n = readlink("/proc/self/ns/mnt", way->left, sizeof(way->left) - 1);
	way->left[n > 0 ? n : 0] = '\0';
	if (unshare(CLONE_NEWNS)) {
		way->left[0] = '\0';
		if (has_library(way))
			return 0;
		return tool_fail(tool, -errno, "run: no mount namespace: %s%s", strerror(errno),
				 errno == EPERM ? ": it takes CAP_SYS_ADMIN, and a seccomp filter that lets unshare() be" :
				 errno == ENOSPC ? ": /proc/sys/user/max_mnt_namespaces has no more" : "");
	}
	ret = mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) ? -errno : hide_groups(&where);
	if (!ret)
		return 0;
	/* AppArmor and seccomp filters of containers may allow unshare() but not mount(). */
	way->left[0] = '\0';
	if (has_library(way))
		return 0;
	return tool_fail(tool, ret, "run: %s: cannot mount: %s%s", where, strerror(-ret),
			 ret == -EACCES || ret == -EPERM ? ": it takes AppArmor and a seccomp filter that let mount() be" : "");
}

/* Hides the groups by a namespace, or else by the library. */
static int prepare(struct tool *tool, struct way *way)
{
	int ret = 0;

	if (way->claimed && (way->may_mount || !has_library(way)))
		ret = enter_namespace(tool, way);
	if (ret || (!way->claimed && !way->uio))
		return ret;
	if (setenv(RUN_VARIABLE, *way->left ? way->left : RUN_LIBRARY, 1))
		return tool_fail(tool, -errno, "run: " RUN_VARIABLE ": %s", strerror(errno));
	ret = has_library(way) ? preload_set(way->library) : 0;
	return ret ? tool_fail(tool, ret, "run: LD_PRELOAD: %s", strerror(-ret)) : 0;
}

static struct json_object *way_json(const struct way *way, const char *program, bool faults)
{
	struct json_object *what = json_object_new_object();
	bool any = way->claimed || way->uio;

	put_string(what, "program", program);
	put_bool(what, "faults", faults);
	put_bool(what, "hidden", way->claimed || faults);
	put_string(what, "hidden_by", faults ? "mount namespace" : !way->claimed ? NULL : way->may_mount || !has_library(way) ?
		   "mount namespace" : "library");
	put_string(what, "pagemap", !any ? NULL : has_library(way) ? "pins" : "kernel");
	put_string(what, "library", has_library(way) ? way->library : NULL);
	put_string(what, "why", !any && !faults ? "no function is claimed or on a uio driver" : way->why_not);
	return what;
}

static void run_text(const struct tool *tool, struct json_object *what)
{
	const char *program = get_string(what, "program"), *by = get_string(what, "hidden_by");
	const char *pagemap = get_string(what, "pagemap");

	(void)tool;
	if (by && !strcmp(by, "library"))
		printf("%s: IOMMU groups are hidden by the library, as there is no CAP_SYS_ADMIN for a mount namespace: it will use physical addresses\n",
		       program);
	else if (by)
		printf("%s: IOMMU groups are hidden by a mount namespace: it will use physical addresses\n",
		       program);
	else
		printf("%s: nothing is hidden: no function is claimed\n", program);
	if (json_object_get_boolean(get(what, "faults")))
		printf("%s: faults of the IOMMU are reported\n", program);
	if (pagemap && !strcmp(pagemap, "pins"))
		printf("%s: pagemap is answered from pins, by %s\n", program, get_string(what, "library"));
	else if (pagemap)
		printf("%s: pagemap is the kernel's, and what it reads there is not pinned: %s\n", program,
		       get_string(what, "why"));
}

static int execute(const struct args *args)
{
	int err;

	execvp(args->words[0], args->words);
	err = errno;
	/* as env(1) and shells do */
	fprintf(stderr, "flatiommu: run: %s: %s\n", args->words[0], strerror(err));
	return err == ENOENT ? 127 : 126;
}

/*
 * Runs the program behind an IOMMU. As it sees no groups, it uses physical addresses, as it does
 * without an IOMMU, and type1 maps them.
 */
static int run_fault(struct tool *tool, const struct args *args, const struct functions *functions)
{
	struct way way = { 0 };
	bool child = false;
	int ret = check_faults(tool, functions);

	if (ret)
		return ret;
	if (args->values[CHECK]) {
		way.why_not = "its IOMMU translates what it pins";
		show(tool, way_json(&way, args->words[0], true), run_text);
		return 0;
	}
	ret = watch_faults(tool, &child);
	if (!child)
		return ret;
	ret = enter_namespace(tool, &way);
	if (!ret && setenv(RUN_VARIABLE, way.left, 1))
		ret = tool_fail(tool, -errno, "run: " RUN_VARIABLE ": %s", strerror(errno));
	return ret ? ret : execute(args);
}

static int run_run(struct tool *tool, const struct args *args)
{
	struct functions functions = { 0 };
	struct way way = { 0 };
	bool iommu, any;
	int ret = 0;

	functions_scan(&functions);
	if (args->values[FAULT]) {
		ret = run_fault(tool, args, &functions);
		functions_free(&functions);
		return ret;
	}
	find_way(&way, args->words[0], &functions);
	any = way.claimed || way.uio;
	iommu = count_behind(&functions, BEHIND_IOMMU);
	/* if no function is claimed or on uio, the program uses an IOMMU, or fails below */
	if (any && !args->values[FORCE])
		ret = check_program(tool, args, &functions, &way);
	functions_free(&functions);
	if (ret)
		return ret;
	if (!any && !iommu && !args->values[FORCE]) {
		cure(tool, "flatiommu bind DEVICE");
		return tool_fail(tool, -ENODEV, "run: no function is claimed");
	}
	if (args->values[CHECK]) {
		show(tool, way_json(&way, args->words[0], false), run_text);
		return 0;
	}
	ret = prepare(tool, &way);
	if (ret)
		return ret;
	/* The program would not notice it. */
	if (any && !has_library(&way))
		fprintf(stderr, "flatiommu: run: %s: pagemap is the kernel's, and what it reads there is not pinned: %s. VFIO pins what the program maps; on uio nothing is pinned\n",
			args->words[0], way.why_not);
	return execute(args);
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
