// SPDX-License-Identifier: MIT
#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ko.h"
#include "modules.h"
#include "output.h"
#include "pci.h"
#include "record.h"
#include "sysfs.h"

/* All modules that loading vfio_pci and flatiommu may load. A module comes before those it uses. */
static const char *const modules[] = {
	"flatiommu", "vfio_pci", "vfio_pci_core", "vfio_iommu_type1", "vfio_virqfd", "vfio",
	"iommufd",   "irqbypass",
};

#define NR_MODULES ARRAY_SIZE(modules)

/* type1 and iommufd each have a parameter that allows unsafe interrupts. */
static const char *const parameters[] = {
	"/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
	"/sys/module/iommufd/parameters/allow_unsafe_interrupts",
};

/* Appends a line to a record. */
static int append(char **text, const char *kind, const char *name, const char *value)
{
	char *grown;

	if (asprintf(&grown, "%s%s %s%s%s\n", *text, kind, name, value ? " " : "",
		     value ? value : "") < 0)
		return -ENOMEM;
	free(*text);
	*text = grown;
	return 0;
}

static int load(struct tool *tool, struct json_object *changes, const char *name)
{
	int ret;

	if (module_is_loaded(name))
		return 0;
	ret = module_load(tool, name);
	if (!ret)
		note(changes, "loaded %s", name);
	return ret;
}

static int allow_interrupts(struct tool *tool, struct json_object *changes, char **text,
			    const char *parameter)
{
	char value[8];
	int ret;

	if (file_read(value, sizeof(value), "%s", parameter) || *value != 'N')
		return 0;
	/* keep an existing line: it has the original value */
	if (!strstr(*text, parameter)) {
		ret = append(text, "parameter", parameter, value);
		if (!ret)
			ret = machine_save(tool, *text);
		if (ret)
			return ret;
	}
	ret = file_write("Y", "%s", parameter);
	if (ret)
		return tool_fail(tool, ret, "%s: %s", parameter, strerror(-ret));
	note(changes,
	     "allowed unsafe interrupts (%s): without an IOMMU a device can send any interrupt",
	     parameter);
	return 0;
}

int machine_prepare(struct tool *tool, struct json_object *changes, bool without_iommu)
{
	char *text = machine_load();
	int ret = 0;
	size_t i;

	if (!text) {
		text = strdup("");
		for (i = 0; i < NR_MODULES && text && !ret; i++)
			if (!module_is_loaded(modules[i]))
				ret = append(&text, "module", modules[i], NULL);
		if (!text || ret)
			return tool_fail(tool, -ENOMEM, "out of memory");
		ret = machine_save(tool, text);
	}
	/* a kernel may have only iommufd */
	if (!ret && module_is_known("vfio_iommu_type1"))
		ret = load(tool, changes, "vfio_iommu_type1");
	if (!ret)
		ret = load(tool, changes, "vfio_pci");
	if (!ret && without_iommu)
		ret = load(tool, changes, "flatiommu");
	for (i = 0; !ret && without_iommu && i < ARRAY_SIZE(parameters); i++)
		ret = allow_interrupts(tool, changes, &text, parameters[i]);
	free(text);
	return ret;
}

int machine_open_node(struct tool *tool, struct json_object *changes)
{
	char *text = machine_load(), mode[8];
	struct stat st;
	int ret = 0;

	if (!text || stat(FLAT_NODE, &st) || (st.st_mode & 0666) == 0666)
		goto free;
	snprintf(mode, sizeof(mode), "%o", st.st_mode & 07777);
	if (!strstr(text, "mode " FLAT_NODE))
		ret = append(&text, "mode", FLAT_NODE, mode);
	if (!ret)
		ret = machine_save(tool, text);
	if (ret)
		goto free;
	if (chmod(FLAT_NODE, 0666))
		ret = tool_fail(tool, -errno, FLAT_NODE ": %s", strerror(errno));
	else
		note(changes, FLAT_NODE ": everybody with CAP_SYS_RAWIO can open it, not only root");
free:
	free(text);
	return ret;
}

/* Restores the node's mode. If the module was loaded again, the node is new, and keeps its mode. */
static void restore_node(struct json_object *changes, const char *text)
{
	const char *line = strstr(text, "mode " FLAT_NODE " ");
	unsigned int mode;
	struct stat st;

	if (!line || sscanf(line, "mode " FLAT_NODE " %o", &mode) != 1 || stat(FLAT_NODE, &st) ||
	    (st.st_mode & 07777) != 0666 || chmod(FLAT_NODE, mode))
		return;
	note(changes, FLAT_NODE ": its mode is %o again", mode);
}

/* Has the driver a function? The kernel would unload its module, and so unbind the function. */
static bool drives_functions(const char *driver)
{
	struct names names;
	bool any = false;
	size_t i;

	names_read(&names, "/sys/bus/pci/drivers/%s", driver);
	for (i = 0; i < names.n; i++)
		any |= strchr(names.name[i], ':') != NULL;
	names_free(&names);
	return any;
}

static bool is_recorded(const char *text, const char *module)
{
	char line[64];

	snprintf(line, sizeof(line), "module %s\n", module);
	return strstr(text, line);
}

static int restore_parameters(struct tool *tool, struct json_object *changes, char *text)
{
	char path[256], value[64], now[64], *line = text;

	for (; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		int ret;

		if (sscanf(line, "parameter %255s %63s", path, value) != 2 ||
		    file_read(now, sizeof(now), "%s", path) || !strcmp(now, value))
			continue;
		ret = file_write(value, "%s", path);
		if (ret)
			return tool_fail(tool, ret, "%s: %s", path, strerror(-ret));
		note(changes, "unsafe interrupts are as they were: %s is %s", path, value);
	}
	return 0;
}

/* Does a function that another tool has bound still need the modules and parameters? */
static bool needed_by_others(char *address, size_t size)
{
	struct names names, claims;
	bool needed = false;
	char iommu[64];
	size_t i;

	names_read(&claims, "/sys/class/iommu");
	names_read(&names, "/sys/bus/pci/drivers/vfio-pci");
	for (i = 0; i < names.n && !needed; i++) {
		snprintf(iommu, sizeof(iommu), FLATIOMMU_IOMMU "%.40s", names.name[i]);
		needed = names_have(&claims, iommu);
		if (needed)
			snprintf(address, size, "%s", names.name[i]);
	}
	names_free(&names);
	names_free(&claims);
	return needed;
}

int machine_restore(struct tool *tool, struct json_object *changes)
{
	char *text = machine_load(), address[PCI_ADDRESS_SIZE];
	struct names records;
	int ret = 0;
	size_t i;

	if (!text)
		return 0;
	records_read(&records);
	i = records.n;
	names_free(&records);
	if (i)
		goto free;
	if (needed_by_others(address, sizeof(address))) {
		note(changes, "modules and parameters stay: %s, bound by others, needs them",
		     address);
		goto free;
	}
	restore_node(changes, text);
	ret = restore_parameters(tool, changes, text);
	for (i = 0; i < NR_MODULES && !ret; i++) {
		if (!is_recorded(text, modules[i]) || !module_is_loaded(modules[i]) ||
		    (!strcmp(modules[i], "vfio_pci") && drives_functions("vfio-pci")))
			continue;
		/* if a module is in use, other programs use it: it stays loaded */
		if (!module_unload(modules[i]))
			note(changes, "unloaded %s", modules[i]);
	}
	if (!ret)
		machine_remove();
free:
	free(text);
	return ret;
}
