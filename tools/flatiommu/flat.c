// SPDX-License-Identifier: MIT
#include "flat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "pci.h"
#include "sysfs.h"

/* The cure has the function's address for %s. */
struct meaning {
	int err;
	const char *text;
	const char *cure;
};

static const struct meaning of_claim[] = {
	{ EPERM, "claims take root with CAP_SYS_RAWIO", "sudo flatiommu claim %s" },
	{ EACCES, "the kernel is locked down, and this module was not built to claim then",
	  "flatiommu doctor %s" },
	{ ENODEV, "it is being removed", NULL },
	{ EEXIST, "it is claimed already", NULL },
	{ EBUSY, "a driver is bound to it", "flatiommu bind %s" },
	{ EOPNOTSUPP, "a bridge, behind an external port, or --wc on a machine without PAT", NULL },
	{ EALREADY, "an IOMMU has it, and VFIO works on it without flatiommu",
	  "flatiommu bind %s" },
	{ EAFNOSUPPORT, "bus addresses do not suffice on this machine", "flatiommu doctor %s" },
	{ EAGAIN, "it was just added; once more will do", "flatiommu claim %s" },
	/* of --wc alone */
	{ EINVAL, "no BARs such as 2 or 2+4, or a module without write combining", NULL },
	{ ENXIO, "a BAR that is not memory, not prefetchable, or has the MSI-X table",
	  "flatiommu doctor %s" },
	{ EADDRINUSE, "a BAR that is mapped uncached already", "flatiommu list %s" },
	{ 0, NULL, NULL }
};

static const struct meaning of_release[] = {
	{ EPERM, "releases take root with CAP_SYS_RAWIO", "sudo flatiommu release %s" },
	{ ENODEV, "it is being removed", NULL },
	{ ENOENT, "it is not claimed", NULL },
	{ EBUSY, "a driver is bound to it", "flatiommu unbind %s" },
	{ 0, NULL, NULL }
};

bool flat_is_loaded(void)
{
	return file_exists(FLAT_FILES);
}

/* The kernel log has the last word on why. */
static int fail_meaning(struct tool *tool, const struct meaning *meanings, int err,
			const char *address, const char *verb)
{
	const char *from = NULL, *to;

	for (; meanings->text && meanings->err != -err; meanings++)
		;
	if (meanings->cure) {
		from = meanings->cure;
		to = strstr(from, "%s");
		cure(tool, "%.*s%s", (int)(to - from), from, address);
	}
	return fail(tool, err, "%s: not %s: %s", address, verb,
		    meanings->text ? meanings->text : strerror(-err));
}

int flat_claim(struct tool *tool, const char *address, const char *wc)
{
	char text[128];
	int ret;

	snprintf(text, sizeof(text), "%s%s%s", address, wc ? "/wc=" : "", wc ? wc : "");
	ret = file_write(text, FLAT_FILES "/claim");
	return ret ? fail_meaning(tool, of_claim, ret, address, "claimed") : 0;
}

int flat_release(struct tool *tool, const char *address)
{
	int ret = file_write(address, FLAT_FILES "/release");

	return ret ? fail_meaning(tool, of_release, ret, address, "released") : 0;
}

static const struct {
	const char *cause, *cure;
} refusal_cures[] = {
	{ "virtual-address", "flatiommu run -- PROGRAM" },
	{ "other-page", "look the address up again, and map each contiguous run by itself" },
	{ "lookup-iova", "map where nothing is, such as at the virtual address" },
	{ "zero-page", "write to the memory before it is mapped" },
	{ "no-bus-address", "map at the bus address" },
};

struct json_object *flat_refusals(void)
{
	char *text = file_text(FLAT_FILES "/refusals"), *line, *rest;
	struct json_object *array;

	if (!text)
		return NULL;
	array = json_object_new_array();
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char device[PCI_ADDRESS_SIZE], cause[32];
		unsigned long long count;
		struct json_object *o;
		int pid, name = 0;
		size_t i;

		if (sscanf(line, "%d %llu %19s %31s %n", &pid, &count, device, cause, &name) != 4 ||
		    !name)
			continue;
		o = add_object(array);
		put_number(o, "pid", pid);
		put_string(o, "name", line + name);
		put_number(o, "refused", count);
		put_string(o, "device", device);
		put_string(o, "cause", cause);
		put_string(o, "cure", NULL);
		for (i = 0; i < ARRAY_SIZE(refusal_cures); i++)
			if (!strcmp(cause, refusal_cures[i].cause))
				put_string(o, "cure", refusal_cures[i].cure);
	}
	free(text);
	return array;
}
