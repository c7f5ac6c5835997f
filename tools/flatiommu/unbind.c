// SPDX-License-Identifier: MIT
/* flatiommu unbind: gives functions back, and undoes what bind changed, whatever had become of that. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"
#include "links.h"
#include "machine.h"
#include "output.h"
#include "persist.h"
#include "privilege.h"
#include "processes.h"
#include "sysfs.h"

enum { ALL, FORCE };

static const struct flag unbind_flags[] = {
	[ALL] = { "all", NULL, "all that flatiommu bind has bound" },
	[FORCE] = { "force", NULL, "wait for programs that have it open" },
	{ NULL, NULL, NULL }
};

/* The kernel waits until nobody has it open, and so would we. */
static int check_open(struct tool *tool, const struct function *f,
		      const struct processes *processes)
{
	struct json_object *array = processes_of(processes, f);
	char open[256];
	int ret = 0;

	processes_text(open, sizeof(open), array);
	if (is_on_vfio(f) && *open) {
		cure(tool, "kill %s", get_string(json_object_array_get_idx(array, 0), "pid"));
		ret = fail(tool, -EBUSY, "%s: open by %s (--force waits for its end)", f->address,
			   open);
	}
	json_object_put(array);
	return ret;
}

/* What to go back to: as recorded or, bound by other means, to what the bus thinks best. */
static bool find_record(struct record *record, const struct function *f)
{
	if (!record_load(record, f->address))
		return true;
	if (!is_on_vfio(f))
		return false;
	if (strcmp(f->override, "vfio-pci"))
		memcpy(record->override, f->override, sizeof(record->override));
	return true;
}

/* Without a record: whatever driver wants it. */
static int probe(struct tool *tool, struct json_object *changes, const char *address)
{
	struct function f;

	file_write(address, "/sys/bus/pci/drivers_probe");
	if (function_read(&f, address) || !*f.driver)
		return 0;
	if (is_on_vfio(&f)) {
		cure(tool, "echo %04x %04x >/sys/bus/pci/drivers/vfio-pci/remove_id && "
		     "flatiommu unbind %s", f.vendor, f.device, address);
		return fail(tool, -EBUSY,
			    "%s: vfio-pci takes it again, as it was told of %04x:%04x by new_id or ids=",
			    address, f.vendor, f.device);
	}
	note(changes, "%s: given to %s", address, f.driver);
	return 0;
}

static int unbind_one(struct tool *tool, struct json_object *changes, const struct function *f)
{
	struct record record;
	bool recorded = !record_load(&record, f->address);
	int ret;

	if (recorded && !record_is_of(&record, f)) {
		record_remove(f->address);
		note(changes, "%s: what was bound is not there any more", f->address);
		recorded = false;
	}
	ret = persist_remove(tool, changes, f->address);
	if (ret)
		return ret;
	if (!find_record(&record, f)) {
		note(changes, "%s: nothing to put back: %s has it", f->address,
		     *f->driver ? f->driver : "no driver");
		return 0;
	}
	ret = put_back(tool, changes, &record);
	return !ret && !recorded ? probe(tool, changes, f->address) : ret;
}

/* Those that have records, and after a reboot those that were bound again; one that is gone leaves nothing behind. */
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
		if (!function_read(&f, records.name[i]))
			ret = functions_resolve(tool, functions, f.address);
		else if (!record_load(&record, records.name[i]))
			ret = put_back(tool, changes, &record);
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
	struct processes processes = { 0 };
	size_t i;
	int ret;

	if (!args->nr_words && !args->values[ALL]) {
		cure(tool, "flatiommu unbind --all");
		return fail(tool, -EINVAL, "unbind: DEVICE... or --all is missing");
	}
	changes = json_object_new_array();
	ret = args->nr_words ? functions_named(tool, &functions, args) : 0;
	if (!ret)
		ret = need_privilege(tool, "unbind");
	if (!ret)
		ret = record_lock(tool);
	if (!ret && args->values[ALL])
		ret = add_recorded(tool, &functions, changes);
	processes_read(&processes);
	for (i = 0; i < functions.n && !ret && !args->values[FORCE]; i++)
		ret = check_open(tool, &functions.function[i], &processes);
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
	processes_free(&processes);
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
