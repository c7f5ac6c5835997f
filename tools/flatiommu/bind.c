// SPDX-License-Identifier: MIT
/*
 * flatiommu bind: hands functions to vfio-pci, all of them or none.
 *
 * First it checks all functions, and fails if the bind would be dangerous. Then it prepares the
 * machine and binds each function. If a step fails, it undoes all steps with the functions of
 * unbind.
 */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "binding.h"
#include "holders.h"
#include "ko.h"
#include "links.h"
#include "machine.h"
#include "memory.h"
#include "output.h"
#include "persist.h"
#include "privilege.h"
#include "processes.h"
#include "sysfs.h"
#include "uses.h"

enum { CHECK, FENCE, FORCE, HOLD, PERSIST, USER, WC };

static const struct flag bind_flags[] = {
	[CHECK] = { "check", NULL, "only say what is in use, and bind nothing" },
	[FENCE] = { "fence", NULL, FENCE_HELP },
	[FORCE] = { "force", NULL, "whatever is lost by it" },
	[HOLD] = { "hold", NULL, HOLD_HELP },
	[PERSIST] = { "persist", NULL, "after the next reboot, too" },
	[USER] = { "user", "USER", "make USER the owner of the node in /dev/vfio" },
	[WC] = { "wc", "BAR[+BAR]", "make these BARs write-combined" },
	{ NULL, NULL, NULL }
};

static struct options options_of(const struct args *args)
{
	return (struct options){
		.wc = args->values[WC],
		.hold = args->values[HOLD],
		.fence = args->values[FENCE],
	};
}

/* Fails if the function is in use. With @force it warns of what will be lost. */
static int check_uses(struct tool *tool, struct json_object *warnings, const struct function *f,
		      const struct processes *processes, bool force)
{
	struct json_object *uses = uses_of(f, processes), *use, *first = NULL;
	const char *forced = "--force binds it all the same";
	unsigned int refusing = 0;
	char others[64] = "";
	int ret = 0;
	size_t i;

	for (i = 0; i < json_object_array_length(uses); i++) {
		bool always;

		use = json_object_array_get_idx(uses, i);
		always = json_object_get_boolean(get(use, "always"));
		if (!json_object_get_boolean(get(use, "refuses"))) {
			note(warnings, "%s: %s", f->address, get_string(use, "text"));
		} else if (force && !always) {
			note(warnings, "%s: forced, although %s", f->address,
			     get_string(use, "text"));
		} else {
			if (!first || (always && !json_object_get_boolean(get(first, "always"))))
				first = use;
			refusing++;
		}
	}
	if (refusing > 1)
		snprintf(others, sizeof(others), "; flatiommu doctor %s has %u more", f->address,
			 refusing - 1);
	if (first) {
		if (get_string(first, "cure"))
			cure(tool, "%s", get_string(first, "cure"));
		if (json_object_get_boolean(get(first, "always")))
			forced = "also not with --force";
		ret = tool_fail(tool, -EBUSY, "%s: not bound: %.300s (%s%s)", f->address,
				get_string(first, "text"), forced, others);
	}
	json_object_put(uses);
	return ret;
}

/*
 * VFIO gives a group to one program: no kernel driver may have another function in it. With --check
 * one may that is bound at boot, too: udev asks for each by itself.
 */
static int check_group(struct tool *tool, const struct functions *functions,
		       const struct function *f, bool only_check)
{
	struct function other;
	struct names names;
	int ret = 0;
	size_t i, j;

	if (f->behind != BEHIND_IOMMU)
		return 0;
	names_read(&names, "/sys/kernel/iommu_groups/%d/devices", f->group);
	for (i = 0; i < names.n && !ret; i++) {
		if (function_read(&other, names.name[i]) || is_bridge(&other) || !*other.driver ||
		    is_of_vfio(&other) || !strcmp(other.driver, "pci-stub"))
			continue;
		for (j = 0; j < functions->n; j++)
			if (!strcmp(functions->function[j].address, other.address))
				break;
		if (j < functions->n || (only_check && is_persistent(other.address)))
			continue;
		cure(tool, "flatiommu bind %s %s", f->address, other.address);
		ret = tool_fail(tool, -EBUSY,
				"%s: not bound: its IOMMU group %d can be used only together with %s, "
				"which is bound to %s",
				f->address, f->group, other.address, other.driver);
	}
	names_free(&names);
	return ret;
}

static int check(struct tool *tool, struct json_object *warnings, const struct functions *functions,
		 const struct args *args)
{
	const struct options options = options_of(args);
	const char *option = any_option(&options);
	struct processes processes;
	int ret = 0;
	size_t i;

	processes_read(&processes);
	for (i = 0; i < functions->n && !ret; i++) {
		const struct function *f = &functions->function[i];

		if (f->being_unbound)
			ret = fail_waiting(tool, f->address);
		else if (is_bridge(f))
			ret = tool_fail(tool, -EOPNOTSUPP, "%s: not bound: it is a bridge", f->address);
		if (!ret && f->behind == BEHIND_NOIOMMU) {
			cure(tool, "flatiommu unbind %s && flatiommu bind %s", f->address,
			     f->address);
			ret = tool_fail(tool, -EBUSY,
					"%s: not bound: vfio-pci has it in VFIO's no-IOMMU mode",
					f->address);
		}
		if (!ret && option && f->group >= 0) {
			if (f->behind == BEHIND_FLATIOMMU)
				cure(tool, "flatiommu %s %s", *f->driver ? "unbind" : "release",
				     f->address);
			ret = tool_fail(tool, -EEXIST,
					"%s: --%s is for functions without a group; it has group %d",
					f->address, option, f->group);
		}
		if (!ret)
			ret = check_group(tool, functions, f, args->values[CHECK]);
		/* --force does not make a program close a virtual function */
		if (!ret && *f->driver && !is_on_vfio(f))
			ret = check_vfs_unused(tool, f, &processes);
		if (!ret)
			ret = check_uses(tool, warnings, f, &processes, args->values[FORCE]);
	}
	processes_free(&processes);
	return ret;
}

/* Has SIGINT, SIGTERM or SIGHUP come? They are blocked, and delivered later. */
static bool is_interrupted(void)
{
	sigset_t pending;

	return !sigpending(&pending) &&
	       (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) ||
		sigismember(&pending, SIGHUP));
}

/* Reads a function that was bound, and its node in /dev/vfio. Returns false if it is gone. */
static bool read_bound(const char *address, struct function *f, char *node, size_t size)
{
	if (function_read(f, address))
		return false;
	function_node(f, node, size);
	return true;
}

static bool is_owner(const char *path, uid_t user)
{
	struct stat st;

	return !stat(path, &st) && st.st_uid == user;
}

static int set_owner(struct tool *tool, struct json_object *changes,
		     const struct functions *functions, const struct passwd *user,
		     bool without_iommu)
{
	struct function f;
	char node[128];
	size_t i;

	for (i = 0; i < functions->n; i++) {
		if (!read_bound(functions->function[i].address, &f, node, sizeof(node)))
			continue;
		if (chown(node, user->pw_uid, -1))
			return tool_fail(tool, -errno, "%s: %s", node, strerror(errno));
		note(changes, "%s: owned by %s%s", node, user->pw_name,
		     f.behind == BEHIND_IOMMU ? "" :
		     ", who also needs CAP_SYS_RAWIO, and can then read and write all memory");
	}
	if (without_iommu) {
		int ret = machine_open_node(tool, changes);

		if (ret)
			return ret;
	}
	if (!has_vfio_groups() && !is_owner("/dev/iommu", user->pw_uid))
		note(changes, "/dev/iommu: owned by root, and %s needs it, too: chown %s /dev/iommu",
		     user->pw_name, user->pw_name);
	return 0;
}

static int bind_all(struct tool *tool, struct json_object *changes,
		    const struct functions *functions, const struct args *args,
		    const struct passwd *user, bool without_iommu)
{
	const struct options options = options_of(args);
	bool *persistent = calloc(functions->n, sizeof(*persistent)), persisted = false;
	struct record record;
	size_t i = 0, j;
	int ret;

	for (j = 0; persistent && j < functions->n; j++)
		persistent[j] = is_persistent(functions->function[j].address);
	ret = persistent ? machine_prepare(tool, changes, without_iommu) :
			   tool_fail(tool, -ENOMEM, "out of memory");
	for (; !ret && i < functions->n; i++) {
		if (is_on_vfio(&functions->function[i])) {
			note(changes, "%s: is bound to vfio-pci already",
			     functions->function[i].address);
			continue;
		}
		ret = is_interrupted() ? tool_fail(tool, -EINTR, "bind: interrupted") :
			bind_function(tool, changes, &functions->function[i], &options);
	}
	if (!ret && is_interrupted())
		ret = tool_fail(tool, -EINTR, "bind: interrupted");
	if (!ret && args->values[PERSIST]) {
		persisted = true;
		ret = persist_add(tool, changes, functions, without_iommu);
	}
	/* Last, because the owner of a function that was on vfio-pci before is not put back. */
	if (!ret && user)
		ret = set_owner(tool, changes, functions, user, without_iommu);
	if (ret) {
		struct tool second = { 0 };

		while (i--) {
			if (persisted && !persistent[i])
				persist_remove(&second, changes, functions->function[i].address);
			if (is_on_vfio(&functions->function[i]) ||
			    record_load(&record, functions->function[i].address))
				continue;
			put_back(&second, changes, &record);
		}
		machine_restore(&second, changes);
		if (*second.error)
			fprintf(stderr, "flatiommu: putting things back: %s\n", second.error);
	}
	free(persistent);
	return ret;
}

static void make_links(const struct functions *functions)
{
	struct function f;
	size_t i;

	for (i = 0; i < functions->n; i++)
		if (!function_read(&f, functions->function[i].address))
			links_make(&f);
}

static struct json_object *describe(const struct functions *functions)
{
	struct json_object *array = json_object_new_array(), *o;
	struct function f;
	char node[128];
	size_t i;

	for (i = 0; i < functions->n; i++) {
		if (!read_bound(functions->function[i].address, &f, node, sizeof(node)))
			continue;
		o = add_object(array);
		put_string(o, "address", f.address);
		put_string(o, "driver_before", functions->function[i].driver);
		if (f.group < 0)
			put_string(o, "group", NULL);
		else
			put_number(o, "group", f.group);
		put_string(o, "iommu", behind_name(f.behind));
		put_string(o, "node", node);
		put_bool(o, "persistent", is_persistent(f.address));
	}
	return array;
}

/* Prints the warnings before the bind: the function may be the reader's network connection. */
static void tell_warnings(const struct tool *tool, struct json_object *warnings)
{
	size_t i;

	for (i = 0; i < json_object_array_length(warnings) && !tool->json; i++)
		printf("warning: %s\n",
		       json_object_get_string(json_object_array_get_idx(warnings, i)));
	fflush(stdout);
}

/* Adds the command that the user may want to type next. */
static void put_next(struct json_object *what, const struct functions *functions,
		     bool without_iommu)
{
	unsigned int network = 0;
	char text[1024];
	size_t i, len;

	for (i = 0; i < functions->n; i++)
		network += has_vfio_groups() && functions->function[i].class >> 16 == 0x02;
	if (network && network == functions->n)
		len = snprintf(text, sizeof(text), "%sdpdk-testpmd",
			       without_iommu ? "flatiommu run -- " : "");
	else
		len = snprintf(text, sizeof(text), "flatiommu doctor");
	for (i = 0; i < functions->n && len < sizeof(text); i++)
		len += snprintf(text + len, sizeof(text) - len, "%s %s",
				network && network == functions->n ? " -a" : "",
				functions->function[i].address);
	put_string(what, "next", text);
	put_number(what, "hugepage_bytes", hugepage_bytes());
	put_bool(what, "memlock_suffices", may_lock(hugepage_bytes()));
}

static void bind_text(const struct tool *tool, struct json_object *what)
{
	struct json_object *array = get(what, "changes");
	long long huge = json_object_get_int64(get(what, "hugepage_bytes"));
	bool persistent = true;
	size_t i;

	(void)tool;
	for (i = 0; i < json_object_array_length(array); i++)
		puts(json_object_get_string(json_object_array_get_idx(array, i)));
	array = get(what, "functions");
	for (i = 0; i < json_object_array_length(array); i++) {
		struct json_object *o = json_object_array_get_idx(array, i);

		persistent = persistent && json_object_get_boolean(get(o, "persistent"));
		printf("%s: %s, group %s (%s)\n", get_string(o, "address"), get_string(o, "node"),
		       get_string(o, "group"), get_string(o, "iommu"));
	}
	if (!huge)
		printf("no huge pages yet: " RESERVE_HUGEPAGES "\n", hugepages_to_reserve());
	if (!json_object_get_boolean(get(what, "memlock_suffices")))
		puts("RLIMIT_MEMLOCK is less than all huge pages: ulimit -l unlimited");
	if (!persistent)
		puts("until the next reboot; with --persist, also after it");
	printf("next: %s\n", get_string(what, "next"));
}

/* The warnings are told already. */
static void nothing_text(const struct tool *tool, struct json_object *what)
{
	(void)tool;
	(void)what;
}

static int bind_run(struct tool *tool, const struct args *args)
{
	struct json_object *what = json_object_new_object();
	struct json_object *changes = json_object_new_array();
	struct json_object *warnings = json_object_new_array();
	struct functions functions = { 0 };
	const struct passwd *user = NULL;
	bool without_iommu = false;
	sigset_t signals, before;
	size_t i;
	int ret;

	ret = functions_named(tool, &functions, args);
	if (!ret)
		ret = need_privilege(tool, "bind");
	if (!ret && args->values[USER]) {
		user = getpwnam(args->values[USER]);
		if (!user)
			ret = tool_fail(tool, -EINVAL, "%s: there is no such user", args->values[USER]);
	}
	if (!ret && !args->values[CHECK])
		ret = record_lock_for(tool, &functions);
	for (i = 0; i < functions.n && !ret; i++)
		without_iommu |= functions.function[i].behind != BEHIND_IOMMU;
	if (!ret)
		ret = check(tool, warnings, &functions, args);
	if (!ret && args->values[PERSIST])
		ret = persist_check(tool, without_iommu);
	if (ret)
		goto free;
	tell_warnings(tool, warnings);
	if (args->values[CHECK]) {
		json_object_object_add(what, "warnings", json_object_get(warnings));
		show(tool, json_object_get(what), nothing_text);
		goto free;
	}
	/* an interrupted bind is undone before the signal is delivered; a finished one stays */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, &before);
	ret = bind_all(tool, changes, &functions, args, user, without_iommu);
	if (ret) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		goto free;
	}
	make_links(&functions);
	json_object_object_add(what, "functions", describe(&functions));
	json_object_object_add(what, "warnings", json_object_get(warnings));
	json_object_object_add(what, "changes", json_object_get(changes));
	put_next(what, &functions, without_iommu);
	show(tool, json_object_get(what), bind_text);
free:
	json_object_put(changes);
	json_object_put(warnings);
	json_object_put(what);
	functions_free(&functions);
	return ret;
}

const struct command bind_command = {
	.name = "bind",
	.words = "DEVICE...",
	.summary = "claim functions and hand them to vfio-pci, all or nothing",
	.flags = bind_flags,
	.min_words = 1,
	.max_words = 1000,
	.run = bind_run,
};
