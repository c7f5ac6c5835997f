// SPDX-License-Identifier: MIT
/* flatiommu claim, release: make and end claims of functions without a driver, and no more. */
#include <errno.h>
#include <stdio.h>

#include "holders.h"
#include "ko.h"
#include "modules.h"
#include "output.h"
#include "pci.h"
#include "privilege.h"
#include "record.h"

enum { FENCE, HOLD, WC };

static const struct flag claim_flags[] = {
	[FENCE] = { "fence", NULL, FENCE_HELP },
	[HOLD] = { "hold", NULL, HOLD_HELP },
	[WC] = { "wc", "BAR[+BAR]", "make these BARs write-combined" },
	{ NULL, NULL, NULL }
};

static void claim_text(const struct tool *tool, struct json_object *what)
{
	struct json_object *array = get(what, "functions");
	size_t i;

	(void)tool;
	for (i = 0; i < json_object_array_length(array); i++) {
		struct json_object *o = json_object_array_get_idx(array, i);
		const char *group = get_string(o, "group");

		printf("%s: %s%s\n", get_string(o, "address"),
		       group ? "claimed, group " : "released", group ? group : "");
	}
}

static void show_functions(struct tool *tool, const struct functions *functions)
{
	struct json_object *what = json_object_new_object(), *array = put_array(what, "functions");
	size_t i;

	for (i = 0; i < functions->n; i++) {
		struct function f;
		struct json_object *o;

		if (function_read(&f, functions->function[i].address))
			continue;
		o = add_object(array);
		put_string(o, "address", f.address);
		if (f.behind == BEHIND_FLATIOMMU)
			put_number(o, "group", f.group);
		else
			put_string(o, "group", NULL);
	}
	show(tool, what, claim_text);
}

static int claim_run(struct tool *tool, const struct args *args)
{
	const struct options options = {
		.wc = args->values[WC],
		.hold = args->values[HOLD],
		.fence = args->values[FENCE],
	};
	struct functions functions = { 0 };
	size_t done = 0;
	int ret;

	ret = functions_named(tool, &functions, args);
	if (!ret)
		ret = need_privilege(tool, "claim");
	if (!ret)
		ret = record_lock_for(tool, &functions);
	if (ret)
		goto free;
	if (!flat_is_loaded())
		ret = module_load(tool, "flatiommu");
	while (!ret && done < functions.n) {
		const struct function *f = &functions.function[done];

		ret = f->being_unbound ? fail_waiting(tool, f->address) :
					    flat_claim(tool, f->address, &options);
		if (!ret)
			done++;
	}
	if (ret) {
		struct tool ignored = { 0 };

		while (done--)
			flat_release(&ignored, functions.function[done].address);
	} else {
		show_functions(tool, &functions);
	}
free:
	functions_free(&functions);
	return ret;
}

static int release_run(struct tool *tool, const struct args *args)
{
	struct functions functions = { 0 };
	size_t i;
	int ret;

	ret = functions_named(tool, &functions, args);
	if (!ret)
		ret = need_privilege(tool, "release");
	if (!ret)
		ret = record_lock_for(tool, &functions);
	for (i = 0; !ret && i < functions.n; i++) {
		const struct function *f = &functions.function[i];

		if (f->being_unbound)
			ret = fail_waiting(tool, f->address);
		else if (f->behind != BEHIND_FLATIOMMU)
			ret = tool_fail(tool, -ENOENT, "%s: it is not claimed", f->address);
		else
			ret = flat_release(tool, f->address);
	}
	if (!ret)
		show_functions(tool, &functions);
	functions_free(&functions);
	return ret;
}

const struct command claim_command = {
	.name = "claim",
	.words = "DEVICE...",
	.summary = "give functions without a driver a dummy IOMMU, and so a group",
	.flags = claim_flags,
	.min_words = 1,
	.max_words = 1000,
	.run = claim_run,
};

const struct command release_command = {
	.name = "release",
	.words = "DEVICE...",
	.summary = "take the dummy IOMMU away from functions without a driver",
	.min_words = 1,
	.max_words = 1000,
	.run = release_run,
};
