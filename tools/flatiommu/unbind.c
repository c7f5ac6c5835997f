// SPDX-License-Identifier: MIT
/* flatiommu unbind: gives functions back, and undoes the changes of bind, also incomplete ones. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "binding.h"
#include "holders.h"
#include "links.h"
#include "machine.h"
#include "output.h"
#include "persist.h"
#include "privilege.h"
#include "processes.h"
#include "uses.h"
#include "wait.h"

enum { ALL, WAIT, FORCE };

static const struct flag unbind_flags[] = {
	[ALL] = { "all", NULL, "all that flatiommu bind has bound" },
	[WAIT] = { "wait", NULL, "wait until programs have closed them" },
	[FORCE] = { "force", NULL, "the same as --wait" },
	{ NULL, NULL, NULL }
};

/*
 * Finds the record, with the driver to give the function back to. If another tool has bound the
 * function, the record has no driver: the bus will find one.
 */
static int find_record(struct tool *tool, struct record *record, const struct function *f,
		       bool *found)
{
	int ret;

	*found = !record_load(record, f->address) && record_is_of(record, f);
	if (*found)
		return 0;
	memset(record, 0, sizeof(*record));
	memcpy(record->address, f->address, sizeof(record->address));
	record->vendor = f->vendor;
	record->device = f->device;
	record->probe = true;
	*found = is_on_vfio(f) || (f->behind == BEHIND_FLATIOMMU && *f->driver);
	if (!*found)
		return 0;
	ret = function_override(tool, record->override, sizeof(record->override), f->address);
	if (!strcmp(record->override, "vfio-pci"))
		record->override[0] = 0;
	return ret;
}

/* If another tool has bound a kernel driver, programs may be using it, as before a bind. */
static int check_uses(struct tool *tool, const struct function *f,
		      const struct processes *processes)
{
	struct json_object *uses = uses_of(f, processes), *use;
	size_t i;
	int ret = 0;

	for (i = 0; i < json_object_array_length(uses) && !ret; i++) {
		use = json_object_array_get_idx(uses, i);
		if (!json_object_get_boolean(get(use, "refuses")))
			continue;
		if (get_string(use, "cure"))
			cure(tool, "%s", get_string(use, "cure"));
		ret = tool_fail(tool, -EUSERS, "%s: not released: %s", f->address,
				get_string(use, "text"));
	}
	json_object_put(uses);
	return ret;
}

static bool is_open(const struct function *f, const struct processes *processes)
{
	struct json_object *array = processes_of(processes, f);
	bool sure = processes_are_sure(array);

	json_object_put(array);
	return sure;
}

/* vfio-pci removes the virtual functions first. Nothing makes them again. */
static int check_vfs(struct tool *tool, const struct function *f, struct processes *processes)
{
	int ret = check_vfs_unused(tool, f, processes);
	unsigned int vfs = nr_vfs(f);

	if (ret || !vfs)
		return ret;
	cure(tool, "echo 0 >" PCI_DEVICES "/%s/sriov_numvfs", f->address);
	return tool_fail(tool, -EUSERS, "%s: not released: it has %u virtual function%s, which unbind would remove",
			 f->address, vfs, vfs == 1 ? "" : "s");
}

static int check_one(struct tool *tool, const struct function *f, struct processes *processes)
{
	struct record record;
	bool found;
	int ret;

	/* on a kernel without VFIO groups, only an open file shows that an unbind waits */
	if (f->being_unbound || (!*f->driver && is_open(f, processes)))
		return fail_waiting(tool, f->address);
	ret = find_record(tool, &record, f, &found);
	if (ret || !found || !has_to_be_taken(f, &record))
		return ret;
	ret = check_unused(tool, f, processes);
	if (ret)
		return ret;
	return is_on_vfio(f) ? check_vfs(tool, f, processes) : check_uses(tool, f, processes);
}

static int check(struct tool *tool, struct functions *functions)
{
	struct processes processes;
	int ret = 0;
	size_t i;

	processes_read(&processes);
	for (i = 0; i < functions->n && !ret; i++) {
		struct function f;

		/* if it is gone, the next step says so */
		if (function_read(&f, functions->function[i].address))
			continue;
		functions->function[i] = f;
		ret = check_one(tool, &f, &processes);
	}
	processes_free(&processes);
	return ret;
}

static int check_now(struct tool *tool, struct functions *functions)
{
	int ret = check(tool, functions);
	size_t len = strlen(tool->error);

	if (ret == -EBUSY || ret == -ETIMEDOUT)
		snprintf(tool->error + len, sizeof(tool->error) - len, " (--wait waits for it)");
	return ret;
}

/* Waits without the lock, so that other commands can work: nothing is changed yet. */
static int wait_unused(struct tool *tool, struct functions *functions)
{
	const struct timespec nap = { .tv_nsec = 500 * 1000 * 1000 };
	char said[sizeof(tool->error)] = "";
	int ret;

	while ((ret = check(tool, functions)) == -EBUSY || ret == -ETIMEDOUT) {
		if (strcmp(said, tool->error))
			fprintf(stderr, "flatiommu: waiting: %s\n", tool->error);
		memcpy(said, tool->error, sizeof(said));
		record_unlock();
		nanosleep(&nap, NULL);
		ret = record_lock(tool);
		if (ret)
			break;
	}
	/* The reason to wait is no reason of a later failure. */
	if (!ret)
		*tool->error = *tool->cure = 0;
	return ret;
}

static int unbind_one(struct tool *tool, struct json_object *changes, const struct function *f)
{
	struct record record;
	bool found;
	int ret;

	if (!record_load(&record, f->address) && !record_is_of(&record, f)) {
		record_remove(f->address);
		note(changes, "%s: the function that was bound is not there any more", f->address);
	}
	ret = find_record(tool, &record, f, &found);
	/* Once the rule is removed, only a record tells a later unbind, if this is interrupted. */
	if (!ret && found && record.probe)
		ret = record_save(tool, &record);
	if (!ret)
		ret = persist_remove(tool, changes, f->address);
	if (ret)
		return ret;
	if (!found) {
		note(changes, "%s: nothing to put back: %s has it%s%s", f->address,
		     *f->driver ? f->driver : "no driver",
		     f->behind == BEHIND_FLATIOMMU ? "; it is claimed: flatiommu release " : "",
		     f->behind == BEHIND_FLATIOMMU ? f->address : "");
		return 0;
	}
	return put_back(tool, changes, &record);
}

/*
 * Adds functions that have records, and those that are bound at boot. Removes the records of
 * functions that are gone.
 */
static int add_recorded(struct tool *tool, struct functions *functions,
			struct json_object *changes)
{
	struct names records, persistent;
	struct record record;
	struct function f;
	int ret = 0;
	size_t i;

	records_read(&records);
	for (i = 0; i < records.n && !ret; i++) {
		if (!function_read(&f, records.name[i])) {
			ret = functions_resolve(tool, functions, f.address);
			continue;
		}
		if (!record_load(&record, records.name[i]))
			ret = put_back(tool, changes, &record);
		links_remove(records.name[i]);
	}
	names_free(&records);
	persistent_read(&persistent);
	for (i = 0; i < persistent.n && !ret; i++) {
		if (!function_read(&f, persistent.name[i]))
			ret = functions_resolve(tool, functions, f.address);
		else
			ret = persist_remove(tool, changes, persistent.name[i]);
	}
	names_free(&persistent);
	return ret;
}

static void unbind_text(const struct tool *tool, struct json_object *what)
{
	struct json_object *array = get(what, "changes");
	size_t i;

	(void)tool;
	for (i = 0; i < json_object_array_length(array); i++)
		puts(json_object_get_string(json_object_array_get_idx(array, i)));
	if (!i)
		puts("nothing to put back");
}

static struct json_object *describe(const struct functions *functions)
{
	struct json_object *array = json_object_new_array(), *o;
	struct function f;
	size_t i;

	for (i = 0; i < functions->n; i++) {
		if (function_read(&f, functions->function[i].address))
			continue;
		o = add_object(array);
		put_string(o, "address", f.address);
		put_string(o, "driver", f.driver);
		put_string(o, "iommu", behind_name(f.behind));
	}
	return array;
}

static int unbind_run(struct tool *tool, const struct args *args)
{
	struct json_object *what, *changes;
	struct functions functions = { 0 };
	size_t i;
	int ret;

	if (!args->nr_words && !args->values[ALL]) {
		cure(tool, "flatiommu unbind --all");
		return tool_fail(tool, -EINVAL, "unbind: DEVICE... or --all is missing");
	}
	changes = json_object_new_array();
	ret = args->nr_words ? functions_named(tool, &functions, args) : 0;
	if (!ret)
		ret = need_privilege(tool, "unbind");
	if (!ret)
		ret = record_lock(tool);
	if (!ret && args->values[ALL])
		ret = add_recorded(tool, &functions, changes);
	if (!ret)
		ret = args->values[WAIT] || args->values[FORCE] ? wait_unused(tool, &functions) :
								  check_now(tool, &functions);
	for (i = 0; i < functions.n && !ret; i++) {
		ret = unbind_one(tool, changes, &functions.function[i]);
		links_remove(functions.function[i].address);
	}
	if (!ret)
		ret = machine_restore(tool, changes);
	if (!ret) {
		what = json_object_new_object();
		json_object_object_add(what, "functions", describe(&functions));
		json_object_object_add(what, "changes", json_object_get(changes));
		show(tool, what, unbind_text);
	}
	json_object_put(changes);
	functions_free(&functions);
	return ret;
}

const struct command unbind_command = {
	.name = "unbind",
	.words = "DEVICE...",
	.summary = "give functions back to their drivers, and undo what bind changed",
	.flags = unbind_flags,
	.max_words = 1000,
	.run = unbind_run,
};
