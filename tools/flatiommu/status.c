// SPDX-License-Identifier: MIT
/* flatiommu status: module, functions, programs and their pins, on one screen. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ko.h"
#include "metrics.h"
#include "modules.h"
#include "output.h"
#include "pins.h"
#include "processes.h"
#include "record.h"
#include "watch.h"

enum { METRICS, WATCH };

static const struct flag status_flags[] = {
	[METRICS] = { "metrics", NULL, "print numbers for a monitoring system, as OpenMetrics has them" },
	[WATCH] = { "watch", NULL, "print a line for each change, until it is stopped" },
	{ NULL, NULL, NULL }
};

static const char *const shown_modules[] = {
	"flatiommu", "vfio", "vfio_pci", "vfio_iommu_type1", "iommufd", "uio_pci_generic",
};

/* Parameters that users may want to know; missing ones are left out. */
static const struct {
	const char *module, *name;
} shown_parameters[] = {
	{ "flatiommu", "auto" },
	{ "flatiommu", "on_refusal" },
	{ "flatiommu", "on_unmap" },
	{ "flatiommu", "devices" },
	{ "vfio_iommu_type1", "allow_unsafe_interrupts" },
	{ "vfio_iommu_type1", "dma_entry_limit" },
	{ "iommufd", "allow_unsafe_interrupts" },
	{ "vfio", "enable_unsafe_noiommu_mode" },
};

static void put_machine(struct json_object *what)
{
	struct json_object *o = json_object_new_object();
	char vendor[64], product[64], text[160], release[64];

	json_object_object_add(what, "machine", o);
	file_read(vendor, sizeof(vendor), "/sys/class/dmi/id/sys_vendor");
	file_read(product, sizeof(product), "/sys/class/dmi/id/product_name");
	snprintf(text, sizeof(text), "%s%s%s", vendor, *vendor && *product ? " " : "", product);
	put_string(o, "name", text);
	snprintf(release, sizeof(release), "%s", kernel_release());
	put_string(o, "kernel", release);
	file_read(text, sizeof(text), "/sys/kernel/security/lockdown");
	if (strchr(text, '[')) {
		char *mode = strchr(text, '[') + 1;

		mode[strcspn(mode, "]")] = 0;
		put_string(o, "lockdown", mode);
	} else {
		put_string(o, "lockdown", NULL);
	}
}

static void put_modules(struct json_object *what)
{
	struct json_object *modules = put_array(what, "modules");
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(shown_modules); i++) {
		const char *name = shown_modules[i];
		struct json_object *o = add_object(modules), *p = json_object_new_object();

		put_string(o, "name", name);
		put_bool(o, "loaded", module_is_loaded(name));
		json_object_object_add(o, "parameters", p);
		for (j = 0; j < ARRAY_SIZE(shown_parameters); j++) {
			const char *parameter = shown_parameters[j].name;
			char value[256];

			if (!strcmp(shown_parameters[j].module, name) &&
			    !file_read(value, sizeof(value), "/sys/module/%s/parameters/%s", name,
				       parameter) &&
			    *value)
				put_string(p, parameter, value);
		}
	}
}

/* Adds functions that are claimed or on VFIO, or that an interrupted bind or unbind has left. */
static void put_functions(struct json_object *what, const struct functions *functions,
			  const struct processes *processes)
{
	struct json_object *array = put_array(what, "functions");
	int iommu_groups = 0, flat_groups = 0;
	struct names records;
	size_t i;

	records_read(&records);
	for (i = 0; i < functions->n; i++) {
		const struct function *f = &functions->function[i];
		struct record record = { 0 };
		struct function now;
		bool recorded, complete;
		struct json_object *o;

		recorded = names_have(&records, f->address) && !function_read(&now, f->address) &&
			   !record_load(&record, f->address) && record_is_of(&record, &now);

		iommu_groups += f->behind == BEHIND_IOMMU;
		flat_groups += f->behind == BEHIND_FLATIOMMU;
		if (!recorded && f->behind != BEHIND_FLATIOMMU && !is_on_vfio(f))
			continue;
		complete = is_on_vfio(f) && f->behind != BEHIND_NOTHING;
		o = add_object(array);
		put_string(o, "address", f->address);
		put_string(o, "driver", f->driver);
		if (f->group < 0)
			put_string(o, "group", NULL);
		else
			put_number(o, "group", f->group);
		put_string(o, "iommu", behind_name(f->behind));
		flat_put_options(o, f);
		put_bool(o, "bound_here", recorded);
		put_string(o, "driver_before", record.driver);
		put_bool(o, "unbind_waits", f->being_unbound);
		/* a claimed function has a kernel driver only if another tool has bound it */
		put_bool(o, "given_away", recorded && *f->driver && !is_on_vfio(f) &&
			 (f->behind == BEHIND_FLATIOMMU || strcmp(f->driver, record.driver)));
		put_bool(o, "interrupted", recorded && !complete);
		json_object_object_add(o, "open_by", processes_of(processes, f));
	}
	names_free(&records);
	put_number(what, "functions_behind_iommu", iommu_groups);
	put_number(what, "functions_claimed", flat_groups);
}

/* Adds functions that were bound and then unplugged. */
static void put_left_behind(struct json_object *what)
{
	struct json_object *array = put_array(what, "left_behind");
	char *machine = machine_load();
	struct names records;
	struct function f;
	size_t i;

	records_read(&records);
	for (i = 0; i < records.n; i++)
		if (function_read(&f, records.name[i]))
			json_object_array_add(array, json_object_new_string(records.name[i]));
	/* modules and parameters are changed, and no function is bound */
	put_bool(what, "machine_left_behind", machine && !records.n);
	free(machine);
	names_free(&records);
}

static void functions_text(struct json_object *functions)
{
	size_t i;

	for (i = 0; i < json_object_array_length(functions); i++) {
		struct json_object *o = json_object_array_get_idx(functions, i);
		const char *driver = get_string(o, "driver"), *group = get_string(o, "group");
		const char *before = get_string(o, "driver_before");
		char open[256], options[64];

		processes_text(open, sizeof(open), get(o, "open_by"));
		options_text(options, sizeof(options), o);
		printf("  %s  %s, group %s (%s)%s%s%s%s\n", get_string(o, "address"),
		       driver ? driver : "no driver", group ? group : "none",
		       get_string(o, "iommu"), *options ? ", " : "", options,
		       *open ? ", open: " : "", open);
		colour(stdout, YELLOW);
		if (json_object_get_boolean(get(o, "unbind_waits")))
			puts("    an unbind of it waits for the programs that have it open");
		else if (json_object_get_boolean(get(o, "given_away")))
			printf("    another tool has given it to %s; it had %s: flatiommu unbind %s\n",
			       driver, before ? before : "no driver", get_string(o, "address"));
		else if (json_object_get_boolean(get(o, "interrupted")))
			printf("    bind or unbind was interrupted; it had %s: flatiommu unbind %s\n",
			       before ? before : "no driver", get_string(o, "address"));
		colour(stdout, PLAIN);
	}
}

static void modules_text(struct json_object *modules)
{
	size_t i;

	for (i = 0; i < json_object_array_length(modules); i++) {
		struct json_object *o = json_object_array_get_idx(modules, i);
		struct json_object *parameters = get(o, "parameters");
		struct json_object_iterator at = json_object_iter_begin(parameters);
		struct json_object_iterator end = json_object_iter_end(parameters);

		if (!json_object_get_boolean(get(o, "loaded")))
			continue;
		printf("  %s", get_string(o, "name"));
		for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
			printf(" %s=%s", json_object_iter_peek_name(&at),
			       json_object_get_string(json_object_iter_peek_value(&at)));
		puts("");
	}
}

static long long kib(struct json_object *o, const char *key)
{
	return (long long)json_object_get_int64(get(o, key)) / 1024;
}

/*
 * Maps beyond RLIMIT_MEMLOCK or dma_entry_limit fail in VFIO, so the module does not count them.
 * Only this output shows that a program went on without such a map.
 */
static void processes_status_text(struct json_object *processes)
{
	size_t i;

	for (i = 0; i < json_object_array_length(processes); i++) {
		struct json_object *o = json_object_array_get_idx(processes, i);
		long long locked = kib(o, "locked"), pinned = kib(o, "pinned");
		long long huge = kib(o, "huge");

		printf("  %s[%s]  locked %lld KiB, pinned %lld KiB, huge pages %lld KiB\n",
		       get_string(o, "name"), get_string(o, "pid"), locked, pinned, huge);
		if (locked + pinned >= huge)
			continue;
		colour(stdout, YELLOW);
		printf("    %lld KiB of huge pages are not pinned: a secondary process, or ulimit "
		       "-l or dma_entry_limit is too low\n",
		       huge - locked - pinned);
		colour(stdout, PLAIN);
	}
}

static void refusals_text(struct json_object *refusals)
{
	size_t i;

	for (i = 0; refusals && i < json_object_array_length(refusals); i++) {
		struct json_object *o = json_object_array_get_idx(refusals, i);
		const char *last_cure = get_string(o, "cure");

		printf("  %s[%s]  %s maps refused, last for %s: %s; %s\n", get_string(o, "name"),
		       get_string(o, "pid"), get_string(o, "refused"), get_string(o, "device"),
		       get_string(o, "cause"), last_cure ? last_cure : "see the kernel log");
	}
}

/* Prints nothing, unless memory is or was held. */
static void held_text(struct json_object *what)
{
	long long held = kib(what, "held"), released = kib(what, "held_released_at_limit");

	if (held)
		printf("  %lld KiB held after their unmap\n", held);
	if (!released)
		return;
	colour(stdout, YELLOW);
	printf("  %lld KiB given back at hold_limit, under DMA perhaps\n", released);
	colour(stdout, PLAIN);
}

static void heading(const char *text)
{
	colour(stdout, BOLD);
	puts(text);
	colour(stdout, PLAIN);
}

static void status_text(const struct tool *tool, struct json_object *what)
{
	struct json_object *machine = get(what, "machine"), *refusals = get(what, "refusals");
	const char *name = get_string(machine, "name"), *lockdown = get_string(machine, "lockdown");
	struct json_object *left = get(what, "left_behind");
	size_t i;

	(void)tool;
	heading("Machine");
	printf("  %s, Linux %s, lockdown %s\n", name ? name : "unknown",
	       get_string(machine, "kernel"), lockdown ? lockdown : "unknown");
	printf("  %s functions behind an IOMMU, %s claimed by flatiommu\n",
	       get_string(what, "functions_behind_iommu"), get_string(what, "functions_claimed"));
	heading("Modules");
	modules_text(get(what, "modules"));
	heading("Functions");
	functions_text(get(what, "functions"));
	colour(stdout, YELLOW);
	for (i = 0; i < json_object_array_length(left); i++)
		printf("  %s  was bound, and is gone: flatiommu unbind --all\n",
		       json_object_get_string(json_object_array_get_idx(left, i)));
	if (json_object_get_boolean(get(what, "machine_left_behind")))
		puts("  bind or unbind was interrupted: flatiommu unbind --all");
	colour(stdout, PLAIN);
	heading("Memory");
	if (get(what, "pins"))
		printf("  %s%s pins in the whole machine\n",
		       json_object_get_int64(get(what, "pins")) ? "about " : "",
		       get_string(what, "pins"));
	processes_status_text(get(what, "processes"));
	held_text(what);
	refusals_text(refusals);
	if (json_object_get_boolean(get(what, "processes_partial")))
		puts("  (other users' processes, and refusals, are shown to root)");
}

static struct json_object *status_read(void)
{
	struct json_object *what = json_object_new_object();
	struct functions functions = { 0 };
	struct processes processes;

	processes_read(&processes);
	functions_scan(&functions);
	put_machine(what);
	put_modules(what);
	put_functions(what, &functions, &processes);
	put_left_behind(what);
	json_object_object_add(what, "processes", pins_of_processes(&processes));
	put_bool(what, "processes_partial", processes.partial);
	json_object_object_add(what, "pins", pins_of_machine());
	json_object_object_add(what, "refusals", flat_refusals());
	json_object_object_add(what, "refusal_causes", flat_refusal_causes());
	flat_put_held(what);
	functions_free(&functions);
	processes_free(&processes);
	return what;
}

static int status_run(struct tool *tool, const struct args *args)
{
	bool metrics = args->values[METRICS];

	if (metrics && (tool->json || args->values[WATCH])) {
		cure(tool, "flatiommu status --metrics");
		return tool_fail(tool, -EINVAL, "--metrics: has a format of its own, and is of now: not with --%s",
				 tool->json ? "json" : "watch");
	}
	if (args->values[WATCH])
		return watch(tool);
	show(tool, status_read(), metrics ? metrics_text : status_text);
	return 0;
}

const struct command status_command = {
	.name = "status",
	.summary = "show the machine, the modules, what is claimed and bound, and what is pinned",
	.flags = status_flags,
	.run = status_run,
};
