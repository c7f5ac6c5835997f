// SPDX-License-Identifier: MIT
#include "binding.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "flat.h"
#include "modules.h"
#include "output.h"
#include "sysfs.h"

static int unbind_driver(struct tool *tool, const struct function *f)
{
	int ret = file_write(f->address, PCI_DEVICES "/%s/driver/unbind", f->address);

	/* it may have gone by itself */
	if (ret && ret != -ENOENT && ret != -ENODEV)
		return fail(tool, ret, "%s: %s does not let it go: %s", f->address, f->driver,
			    strerror(-ret));
	return 0;
}

static int set_override(struct tool *tool, const char *address, const char *driver)
{
	char text[80];
	int ret;

	/* an empty line takes it back */
	snprintf(text, sizeof(text), "%s\n", driver);
	ret = file_write(text, PCI_DEVICES "/%s/driver_override", address);
	return ret ? fail(tool, ret, "%s: driver_override: %s", address, strerror(-ret)) : 0;
}

int bind_function(struct tool *tool, struct json_object *changes, const struct function *function,
		  const char *wc)
{
	struct function f = *function;
	struct record record;
	int ret;

	if (record_load(&record, f.address) || !record_is_of(&record, &f)) {
		memcpy(record.driver, f.driver, sizeof(record.driver));
		memcpy(record.override, f.override, sizeof(record.override));
		record.claimed = f.behind == BEHIND_FLATIOMMU;
		record.vendor = f.vendor;
		record.device = f.device;
		ret = record_save(tool, &record);
		if (ret)
			return ret;
	}
	if (*f.driver) {
		ret = unbind_driver(tool, &f);
		if (ret)
			return ret;
		note(changes, "%s: taken from %s", f.address, f.driver);
	}
	/* a kernel driver may have had a group of VFIO's no-IOMMU mode */
	ret = function_read(&f, f.address);
	if (!ret && f.behind == BEHIND_NOTHING) {
		ret = flat_claim(tool, f.address, wc);
		if (!ret)
			note(changes, "%s: claimed", f.address);
	}
	if (!ret)
		ret = set_override(tool, f.address, "vfio-pci");
	if (!ret)
		ret = file_write(f.address, "/sys/bus/pci/drivers_probe");
	if (!ret)
		ret = function_read(&f, f.address);
	if (!ret && !is_on_vfio(&f)) {
		cure(tool, "dmesg | tail");
		ret = fail(tool, -EIO, "%s: vfio-pci does not take it; the kernel log says why",
			   f.address);
	}
	if (ret)
		return *tool->error ? ret : fail(tool, ret, "%s: %s", f.address, strerror(-ret));
	note(changes, "%s: bound to vfio-pci", f.address);
	return 0;
}

/* The driver that it had: by name, as others may want it, too. */
static int bind_former(struct tool *tool, struct json_object *changes, const struct record *record)
{
	const char *address = record->address;
	struct tool ignored = { 0 };
	struct function f;

	if (function_read(&f, address))
		return 0;
	if (!*f.driver) {
		if (!file_exists("/sys/bus/pci/drivers/%s", record->driver))
			module_load(&ignored, record->driver);
		if (file_write(address, "/sys/bus/pci/drivers/%s/bind", record->driver))
			file_write(address, "/sys/bus/pci/drivers_probe");
		function_read(&f, address);
		if (*f.driver)
			note(changes, "%s: given back to %s", address, f.driver);
	}
	if (*f.driver && strcmp(f.driver, record->driver)) {
		cure(tool, "echo %s >/sys/bus/pci/drivers/%s/unbind && flatiommu unbind %s",
		     address, f.driver, address);
		return fail(tool, -EBUSY, "%s: %s has it by now, not %s", address, f.driver,
			    record->driver);
	}
	if (!*f.driver) {
		cure(tool, "modprobe %s && flatiommu unbind %s", record->driver, address);
		return fail(tool, -EIO, "%s: %s does not take it back", address, record->driver);
	}
	return 0;
}

int put_back(struct tool *tool, struct json_object *changes, const struct record *record)
{
	const char *address = record->address;
	struct function f;
	int ret = 0;

	if (function_read(&f, address)) {
		record_remove(address);
		note(changes, "%s: is not there any more", address);
		return 0;
	}
	if (is_on_vfio(&f) && strcmp(record->driver, "vfio-pci")) {
		ret = unbind_driver(tool, &f);
		if (ret)
			return ret;
		note(changes, "%s: taken from vfio-pci", address);
	}
	if (strcmp(f.override, record->override))
		ret = set_override(tool, address, record->override);
	if (!ret)
		ret = function_read(&f, address);
	if (!ret && f.behind == BEHIND_FLATIOMMU && !record->claimed && !*f.driver) {
		ret = flat_release(tool, address);
		if (!ret)
			note(changes, "%s: released", address);
	}
	if (!ret && *record->driver)
		ret = bind_former(tool, changes, record);
	if (!ret)
		record_remove(address);
	return ret;
}
