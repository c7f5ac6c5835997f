// SPDX-License-Identifier: MIT
/*
 * Output of OpenMetrics 1.0: only gauges and counters, which node_exporter reads, too. No sample is
 * printed twice.
 */
#include "metrics.h"

#include <stdio.h>
#include <string.h>

#include "output.h"

/* Begins a family. If it has a unit, the unit is the end of the family's name. */
static void family(const char *name, const char *type, const char *unit, const char *help)
{
	printf("# TYPE flatiommu_%s %s\n", name, type);
	if (unit)
		printf("# UNIT flatiommu_%s %s\n", name, unit);
	printf("# HELP flatiommu_%s %s\n", name, help);
}

/* Prints a label's value as UTF-8. A program's name may have any bytes. */
static void put_value(const char *value)
{
	for (; value && *value; value++) {
		if (*value == '\n')
			fputs("\\n", stdout);
		else if (*value == '\\' || *value == '"')
			printf("\\%c", *value);
		else
			putchar((unsigned char)*value < 0x80 ? *value : '?');
	}
}

/* Pairs of a label and its value */
#define LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* @labels may be NULL. */
static void sample(const char *name, long long number, const char *const *labels)
{
	const char *before = "{";

	printf("flatiommu_%s", name);
	for (; labels && *labels; labels += 2) {
		printf("%s%s=\"", before, labels[0]);
		put_value(labels[1]);
		fputs("\"", stdout);
		before = ",";
	}
	printf("%s %lld\n", *before == ',' ? "}" : "", number);
}

static long long number(struct json_object *o, const char *key)
{
	return json_object_get_int64(get(o, key));
}

static const char *state_of(struct json_object *function)
{
	const char *driver = get_string(function, "driver");

	if (json_object_get_boolean(get(function, "interrupted")))
		return "interrupted";
	if (!driver || strcmp(driver, "vfio-pci"))
		return "claimed";
	return json_object_array_length(get(function, "open_by")) ? "open" : "bound";
}

static void functions_metrics(struct json_object *status)
{
	static const char *const states[] = { "claimed", "bound", "open", "interrupted" };
	struct json_object *functions = get(status, "functions");
	size_t i, j, n = json_object_array_length(functions);

	family("functions", "gauge", NULL,
	       "PCI functions that are claimed or on vfio-pci, by state: claimed with another driver or none, bound to vfio-pci, open by a program, interrupted in bind or unbind.");
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		long long count = 0;

		for (j = 0; j < n; j++)
			count += !strcmp(state_of(json_object_array_get_idx(functions, j)), states[i]);
		sample("functions", count, LABELS("state", states[i]));
	}
	family("function_programs", "gauge", NULL, "Programs that have such a function open.");
	for (j = 0; j < n; j++) {
		struct json_object *o = json_object_array_get_idx(functions, j);

		sample("function_programs", json_object_array_length(get(o, "open_by")),
		       LABELS("address", get_string(o, "address"),
			      "driver", get_string(o, "driver"),
			      "group", get_string(o, "group"),
			      "iommu", get_string(o, "iommu")));
	}
	family("claims", "gauge", NULL, "PCI functions that flatiommu has claimed.");
	sample("claims", number(status, "functions_claimed"), NULL);
	family("functions_behind_iommu", "gauge", NULL, "PCI functions that have an IOMMU.");
	sample("functions_behind_iommu", number(status, "functions_behind_iommu"), NULL);
	family("left_behind", "gauge", NULL,
	       "Records of bind whose function is gone, or of the machine alone: flatiommu unbind --all.");
	sample("left_behind", json_object_array_length(get(status, "left_behind")) +
	       json_object_get_boolean(get(status, "machine_left_behind")), NULL);
}

static void modules_metrics(struct json_object *modules)
{
	size_t i;

	family("module_loaded", "gauge", NULL, "Whether a kernel module is loaded.");
	for (i = 0; i < json_object_array_length(modules); i++) {
		struct json_object *o = json_object_array_get_idx(modules, i);

		sample("module_loaded", json_object_get_boolean(get(o, "loaded")),
		       LABELS("module", get_string(o, "name")));
	}
}

static void memory_metrics(struct json_object *status)
{
	static const struct {
		const char *key, *name, *help;
	} kinds[] = {
		{ "locked", "process_locked_bytes",
		  "Memory that is locked for a program, by type1, /dev/flatiommu or mlock." },
		{ "pinned", "process_pinned_bytes",
		  "Memory that iommufd has pinned for a program." },
		{ "huge", "process_huge_bytes",
		  "Huge pages that a program has; more than is locked and pinned are not pinned." },
	};
	struct json_object *processes = get(status, "processes");
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		family(kinds[i].name, "gauge", "bytes", kinds[i].help);
		for (j = 0; j < json_object_array_length(processes); j++) {
			struct json_object *o = json_object_array_get_idx(processes, j);

			sample(kinds[i].name, number(o, kinds[i].key),
			       LABELS("pid", get_string(o, "pid"),
				      "program", get_string(o, "name")));
		}
	}
	family("processes_partial", "gauge", NULL, "1 when not all programs could be looked at.");
	sample("processes_partial", json_object_get_boolean(get(status, "processes_partial")), NULL);
	if (!get(status, "pins"))
		return;
	family("pins", "gauge", NULL, "Pins in the whole machine, in pages; a huge page is one.");
	sample("pins", number(status, "pins"), NULL);
}

/* Prints refusals. They are known only to root, and while the module is loaded. */
static void refusals_metrics(struct json_object *programs, struct json_object *causes)
{
	if (!programs || !causes)
		return;
	family("refused_programs", "gauge", NULL, "Programs that were refused maps, of the last 32.");
	sample("refused_programs", json_object_array_length(programs), NULL);
	family("refused_maps", "counter", NULL,
	       "Maps that were refused since the module was loaded, by cause.");
	json_object_object_foreach(causes, cause, count) {
		sample("refused_maps_total", json_object_get_int64(count), LABELS("cause", cause));
	}
}

/* As for refusals. */
static void held_metrics(struct json_object *status)
{
	if (!get(status, "held") || !get(status, "held_released_at_limit"))
		return;
	family("held_bytes", "gauge", "bytes", "Memory that is held after its unmap.");
	sample("held_bytes", number(status, "held"), NULL);
	family("held_released_bytes", "counter", "bytes",
	       "Memory that was given back at hold_limit since the module was loaded.");
	sample("held_released_bytes_total", number(status, "held_released_at_limit"), NULL);
}

void metrics_text(const struct tool *tool, struct json_object *status)
{
	(void)tool;
	functions_metrics(status);
	modules_metrics(get(status, "modules"));
	memory_metrics(status);
	refusals_metrics(get(status, "refusals"), get(status, "refusal_causes"));
	held_metrics(status);
	puts("# EOF");
}
