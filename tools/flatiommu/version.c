// SPDX-License-Identifier: MIT
/* flatiommu version: versions of the command, its library and the module, and whether they fit. */
#include <flatiommu.h>
#include <linux/flatiommu.h>
#include <string.h>

#include "ko.h"
#include "modules.h"
#include "output.h"
#include "sysfs.h"

#ifndef VERSION
#define VERSION "0"
#endif

static void version_text(const struct tool *tool, struct json_object *what)
{
	struct json_object *warnings = get(what, "warnings");
	const char *module = get_string(what, "module"), *uapi = get_string(what, "module_uapi");
	size_t i;

	(void)tool;
	printf("flatiommu %s\n", get_string(what, "version"));
	printf("library %s\n", get_string(what, "library"));
	printf("module %s, %s\n", module ? module : "unknown",
	       json_object_get_boolean(get(what, "module_loaded")) ? "loaded" : "not loaded");
	printf("/dev/flatiommu %s, the module's %s\n", get_string(what, "uapi"),
	       uapi ? uapi : "unknown");
	for (i = 0; i < json_object_array_length(warnings); i++) {
		colour(stdout, YELLOW);
		printf("warning: %s\n",
		       json_object_get_string(json_object_array_get_idx(warnings, i)));
		colour(stdout, PLAIN);
	}
}

/* Finds the version of the module that is loaded, or that would be loaded. */
static void module_version(char *buf, size_t size, bool loaded)
{
	struct module_files files;

	if (loaded) {
		file_read(buf, size, "/sys/module/flatiommu/version");
		return;
	}
	module_find(&files);
	snprintf(buf, size, "%s", files.fit.version);
}

static int version_run(struct tool *tool, const struct args *args)
{
	struct json_object *o = json_object_new_object(), *warnings = json_object_new_array();
	const char *library = flatiommu_library_version();
	bool loaded = flat_is_loaded();
	char module[64];
	int uapi = loaded ? flat_uapi() : -1;

	(void)args;
	module_version(module, sizeof(module), loaded);
	put_string(o, "version", VERSION);
	put_string(o, "library", library);
	put_string(o, "module", module);
	put_bool(o, "module_loaded", loaded);
	put_number(o, "uapi", FLATIOMMU_VERSION);
	if (uapi < 0)
		put_string(o, "module_uapi", NULL);
	else
		put_number(o, "module_uapi", uapi);
	if (strcmp(library, VERSION))
		note(warnings, "the command is %s, and the library in it %s: build them together",
		     VERSION, library);
	if (*module && strcmp(module, VERSION))
		note(warnings, "the command is %s, and the module %s: load the one that was built "
		     "with it",
		     VERSION, module);
	if (uapi >= 0 && uapi < FLATIOMMU_VERSION)
		note(warnings, "the module's /dev/flatiommu is of version %d, and programs may ask for %d",
		     uapi, FLATIOMMU_VERSION);
	json_object_object_add(o, "warnings", warnings);
	show(tool, o, version_text);
	return 0;
}

const struct command version_command = {
	.name = "version",
	.summary = "show the versions of command, library and module, and whether they fit",
	.run = version_run,
};
