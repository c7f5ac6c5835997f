// SPDX-License-Identifier: MIT
#include "binding.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "holders.h"
#include "ko.h"
#include "modules.h"
#include "output.h"
#include "wait.h"

static int set_override(struct tool *tool, const char *address, const char *driver)
{
	char text[80];
	int ret;

	/* an empty line clears it */
	snprintf(text, sizeof(text), "%s\n", driver);
	ret = file_write_in_time(text, PCI_DEVICES "/%s/driver_override", address);
	if (ret == -ETIMEDOUT)
		return fail_waiting(tool, address);
	return ret ? tool_fail(tool, ret, "%s: driver_override: %s", address, strerror(-ret)) : 0;
}

/* Offers the function to all drivers, or to the one that its override names. */
static int probe(struct tool *tool, const char *address)
{
	int ret = file_write_in_time(address, "/sys/bus/pci/drivers_probe");

	if (ret == -ETIMEDOUT)
		return fail_waiting(tool, address);
	return ret ? tool_fail(tool, ret, "%s: %s", address, strerror(-ret)) : 0;
}

static int begin_record(struct tool *tool, struct record *record, const struct function *f)
{
	char override[sizeof(record->override)];
	int ret = function_override(tool, override, sizeof(override), f->address);

	if (ret || (!record_load(record, f->address) && record_is_of(record, f) && !record->probe))
		return ret;
	record->probe = false;
	memcpy(record->driver, f->driver, sizeof(record->driver));
	memcpy(record->override, override, sizeof(record->override));
	record->claimed = f->behind == BEHIND_FLATIOMMU;
	record->vendor = f->vendor;
	record->device = f->device;
	return record_save(tool, record);
}

/* Clears the override after the bind: with it, other tools could not give the function back. */
static int bind_vfio(struct tool *tool, const struct record *record)
{
	const char *address = record->address;
	struct function f;
	int ret;

	ret = set_override(tool, address, "vfio-pci");
	if (!ret)
		ret = probe(tool, address);
	if (!ret && function_read(&f, address))
		ret = tool_fail(tool, -ENODEV, "%s: is gone", address);
	if (!ret && !is_on_vfio(&f)) {
		cure(tool, "dmesg | tail");
		ret = tool_fail(tool, -EIO, "%s: vfio-pci refuses it; the kernel log says why",
				address);
	}
	if (!ret && strcmp(record->override, "vfio-pci"))
		ret = set_override(tool, address, record->override);
	return ret;
}

/*
 * Claims the function, unless that finds a real IOMMU. Up to 6.14 Linux on arm64 finds a function's
 * IOMMU only when a driver binds, or at a claim.
 */
static int claim_or_find_iommu(struct tool *tool, struct json_object *changes, struct function *f,
			       const struct options *options)
{
	struct tool claim = *tool;
	int ret = flat_claim(&claim, f->address, options);

	if (!ret) {
		note(changes, "%s: claimed", f->address);
	} else if (ret == -EALREADY && !any_option(options) && !function_read(f, f->address) &&
		   f->behind == BEHIND_IOMMU) {
		note(changes, "%s: not claimed: it has an IOMMU, which the kernel has found only "
		     "now",
		     f->address);
		ret = 0;
	} else {
		*tool = claim;
	}
	return ret;
}

int bind_function(struct tool *tool, struct json_object *changes, const struct function *function,
		  const struct options *options)
{
	struct function f = *function;
	struct record record;
	int ret;

	if (f.being_unbound)
		return fail_waiting(tool, f.address);
	ret = begin_record(tool, &record, &f);
	if (ret)
		return ret;
	if (*f.driver) {
		ret = take_unused(tool, &f);
		if (ret)
			return ret;
		note(changes, "%s: taken from %s", f.address, f.driver);
	}
	/* a kernel driver may have had a group of VFIO's no-IOMMU mode */
	if (function_read(&f, f.address))
		return tool_fail(tool, -ENODEV, "%s: is gone", f.address);
	if (f.behind == BEHIND_NOTHING) {
		ret = claim_or_find_iommu(tool, changes, &f, options);
		if (ret)
			return ret;
	}
	ret = bind_vfio(tool, &record);
	if (!ret)
		note(changes, "%s: bound to vfio-pci", f.address);
	return ret;
}

/*
 * Binds a function to @driver by name, because other drivers may match it, too. Some drivers bind
 * only a function whose override names them.
 */
static int give_to(struct tool *tool, struct json_object *changes, const char *address,
		   const char *driver)
{
	struct tool ignored = { 0 };
	struct function f;
	int ret;

	if (!file_exists("/sys/bus/pci/drivers/%s", driver))
		module_load(&ignored, driver);
	ret = file_write_in_time(address, "/sys/bus/pci/drivers/%s/bind", driver);
	if (ret == -ETIMEDOUT)
		return fail_waiting(tool, address);
	if (ret) {
		ret = set_override(tool, address, driver);
		if (!ret)
			ret = probe(tool, address);
	}
	/* the function may be gone by now */
	if (function_read(&f, address))
		return 0;
	if (ret)
		return ret;
	if (!*f.driver) {
		cure(tool, "modprobe %s && flatiommu unbind %s", driver, address);
		return tool_fail(tool, -EIO, "%s: %s refuses to take it back", address, driver);
	}
	if (strcmp(f.driver, driver)) {
		cure(tool, "echo %s >/sys/bus/pci/drivers/%s/unbind && flatiommu unbind %s",
		     address, f.driver, address);
		return tool_fail(tool, -EBUSY, "%s: %s has it by now, not %s", address, f.driver,
				 driver);
	}
	note(changes, "%s: given back to %s", address, f.driver);
	return 0;
}

bool has_to_be_taken(const struct function *f, const struct record *record)
{
	if (!*f->driver)
		return false;
	if (is_on_vfio(f))
		return strcmp(record->driver, "vfio-pci");
	/* another tool has bound a driver; a claim can be released only without one */
	return (f->behind == BEHIND_FLATIOMMU && !record->claimed) ||
	       (*record->driver && strcmp(f->driver, record->driver));
}

static int change_override(struct tool *tool, const char *address, const char *driver)
{
	char now[64];
	int ret = function_override(tool, now, sizeof(now), address);

	return ret || !strcmp(now, driver) ? ret : set_override(tool, address, driver);
}

/* Unbinds the function, sets an override that admits @driver, and releases the function. */
static int take_back(struct tool *tool, struct json_object *changes, struct function *f,
		     const struct record *record, const char *driver)
{
	bool hinders = *driver && *record->override && strcmp(record->override, driver);
	int ret;

	if (has_to_be_taken(f, record)) {
		ret = take_unused(tool, f);
		if (ret)
			return ret;
		note(changes, "%s: taken from %s", f->address, f->driver);
	}
	ret = change_override(tool, f->address, hinders ? "" : record->override);
	if (ret || function_read(f, f->address))
		return ret;
	if (f->behind == BEHIND_FLATIOMMU && !record->claimed && !*f->driver) {
		ret = flat_release(tool, f->address);
		if (!ret)
			note(changes, "%s: released", f->address);
	}
	return ret;
}

/* Offers the function to all drivers, as it is not known which one had it. */
static int probe_free(struct tool *tool, struct json_object *changes, const char *address)
{
	struct function f;

	if (function_read(&f, address) || *f.driver)
		return 0;
	if (file_write_in_time(address, "/sys/bus/pci/drivers_probe") == -ETIMEDOUT)
		return fail_waiting(tool, address);
	if (function_read(&f, address) || !*f.driver)
		return 0;
	if (is_on_vfio(&f)) {
		cure(tool, "echo %04x %04x >/sys/bus/pci/drivers/vfio-pci/remove_id && "
		     "flatiommu unbind %s", f.vendor, f.device, address);
		return tool_fail(tool, -EBUSY,
				 "%s: vfio-pci binds it again, because new_id or ids= has %04x:%04x",
				 address, f.vendor, f.device);
	}
	note(changes, "%s: given to %s", address, f.driver);
	return 0;
}

int put_back(struct tool *tool, struct json_object *changes, const struct record *record)
{
	const char *address = record->address;
	char driver[sizeof(record->driver)];
	struct function f;
	int ret;

	if (function_read(&f, address)) {
		record_remove(address);
		note(changes, "%s: is not there any more", address);
		return 0;
	}
	if (f.being_unbound)
		return fail_waiting(tool, address);
	/* if it had no driver, it keeps one that another tool has bound */
	snprintf(driver, sizeof(driver), "%s",
		 *record->driver || is_on_vfio(&f) ? record->driver : f.driver);
	ret = take_back(tool, changes, &f, record, driver);
	if (!ret && *driver && !*f.driver && file_exists(PCI_DEVICES "/%s", address))
		ret = give_to(tool, changes, address, driver);
	if (file_exists(PCI_DEVICES "/%s", address) && ret != -ETIMEDOUT) {
		int last = change_override(tool, address, record->override);

		ret = ret ? ret : last;
	}
	if (!ret && record->probe)
		ret = probe_free(tool, changes, address);
	if (!ret)
		record_remove(address);
	return ret;
}
