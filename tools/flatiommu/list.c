// SPDX-License-Identifier: MIT
/* flatiommu list: PCI functions, their drivers, groups and IOMMUs. */
#include <stdio.h>
#include <string.h>

#include "ko.h"
#include "names.h"
#include "output.h"
#include "persist.h"
#include "processes.h"

enum { ALL };

static const struct flag list_flags[] = {
	[ALL] = { "all", NULL, "bridges, too" },
	{ NULL, NULL, NULL }
};

/* Counts the functions that are virtual functions of @f. */
static unsigned int count_vfs(const struct functions *all, const struct function *f)
{
	unsigned int count = 0;
	size_t i;

	for (i = 0; i < all->n; i++)
		count += !strcmp(all->function[i].pf, f->address);
	return count;
}

static struct json_object *describe(const struct function *f, struct pci_access *database,
				    const struct processes *processes, unsigned int vfs)
{
	struct json_object *o = json_object_new_object();
	char text[256];

	put_string(o, "address", f->address);
	snprintf(text, sizeof(text), "%04x:%04x", f->vendor, f->device);
	put_string(o, "id", text);
	put_string(o, "class", database_class(database, f, text, sizeof(text)));
	put_string(o, "name", database_name(database, f, text, sizeof(text)));
	put_string(o, "driver", f->driver);
	if (f->group < 0)
		put_string(o, "group", NULL);
	else
		put_number(o, "group", f->group);
	put_string(o, "iommu", behind_name(f->behind));
	flat_put_options(o, f);
	put_string(o, "pf", f->pf);
	put_number(o, "vfs", vfs);
	put_bool(o, "persistent", is_persistent(f->address));
	put_string(o, "persistent_id",
		   persistent_id(text, sizeof(text), f->address) ? text : NULL);
	put_bool(o, "unbind_waits", f->being_unbound);
	json_object_object_add(o, "open_by", processes_of(processes, f));
	return o;
}

/* Makes a row of the table. The name has the other properties after it. */
static struct json_object *row(struct json_object *function)
{
	struct json_object *o = NULL;
	bool waits = json_object_get_boolean(get(function, "unbind_waits"));
	char text[1024], open[256], options[64], boot[64] = "";
	const char *pf = get_string(function, "pf"), *id = get_string(function, "persistent_id");

	json_object_deep_copy(function, &o, NULL);
	processes_text(open, sizeof(open), get(function, "open_by"));
	options_text(options, sizeof(options), function);
	if (json_object_get_boolean(get(function, "persistent")))
		snprintf(boot, sizeof(boot), " (bound at boot%s%s)", id ? ", as " : "",
			 id ? id : "");
	else if (id)
		snprintf(boot, sizeof(boot), " (not bound at boot, as it is not %s)", id);
	if (waits && !*open)
		snprintf(open, sizeof(open), "a program that is not shown");
	snprintf(text, sizeof(text), "%s: %s%s%s%s%s%s%s%s%s%s%s",
		 get_string(function, "class"),
		 get_string(function, "name"), pf ? " (VF of " : "", pf ? pf : "", pf ? ")" : "",
		 *options ? " (" : "", options, *options ? ")" : "",
		 waits ? " (an unbind waits for " : *open ? " (open: " : "", open,
		 *open ? ")" : "", boot);
	put_string(o, "what", text);
	return o;
}

static void list_text(const struct tool *tool, struct json_object *what)
{
	static const struct column columns[] = {
		{ "ADDRESS", "address" }, { "DRIVER", "driver" }, { "GROUP", "group" },
		{ "IOMMU", "iommu" },	  { "NAME", "what" },	  { NULL, NULL },
	};
	struct json_object *functions = get(what, "functions"), *rows = json_object_new_array();
	size_t i;

	(void)tool;
	for (i = 0; i < json_object_array_length(functions); i++)
		json_object_array_add(rows, row(json_object_array_get_idx(functions, i)));
	show_table(rows, columns);
	json_object_put(rows);
	if (json_object_get_boolean(get(what, "open_by_partial")))
		puts("Only root sees which other users' processes have them open.");
	if (json_object_get_boolean(get(what, "open_by_others")))
		puts("More are open, but no process shows it: one outside of this container, or a file on its way through a socket.");
}

static int list_run(struct tool *tool, const struct args *args)
{
	struct pci_access *database = database_open();
	struct functions functions = { 0 };
	struct processes processes;
	struct json_object *o, *array;
	size_t i;
	int ret;

	ret = functions_named(tool, &functions, args);
	if (ret)
		goto close;
	processes_read(&processes);
	o = json_object_new_object();
	array = put_array(o, "functions");
	for (i = 0; i < functions.n; i++) {
		const struct function *f = &functions.function[i];

		if (args->nr_words || args->values[ALL] || !is_bridge(f))
			json_object_array_add(array,
					      describe(f, database, &processes, args->nr_words ?
						       nr_vfs(f) : count_vfs(&functions, f)));
	}
	put_bool(o, "open_by_partial", processes.partial);
	put_bool(o, "open_by_others", !processes.partial && processes_miss_some(&processes));
	show(tool, o, list_text);
	processes_free(&processes);
	functions_free(&functions);
close:
	database_close(database);
	return ret;
}

const struct command list_command = {
	.name = "list",
	.words = "[DEVICE...]",
	.summary = "list PCI functions: driver, group, IOMMU, and the programs that have them open",
	.flags = list_flags,
	.max_words = 1000,
	.run = list_run,
};
