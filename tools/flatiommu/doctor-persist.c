// SPDX-License-Identifier: MIT
/* Check of bind --persist: is the device at the address still the one that was bound? */
#include <stdio.h>

#include "doctor.h"
#include "persist.h"
#include "sysfs.h"

static void check_address(struct doctor *doctor, const char *address)
{
	struct function f;
	char id[16];

	if (!persistent_id(id, sizeof(id), address))
		return;
	if (function_read(&f, address)) {
		mend(doctor, "sed -i '/\"%s\"/d' " PERSIST_RULES, address);
		say(doctor, WARNING, "%s: %s should be bound at boot, but there is no such function", address,
		    id);
	} else if (!is_persistent(address)) {
		mend(doctor, "flatiommu unbind %s", address);
		say(doctor, WARNING,
		    "%s: %s should be bound at boot, but %04x:%04x is there, and is left alone",
		    address, id, f.vendor, f.device);
	} else if (!is_on_vfio(&f)) {
		mend(doctor, "flatiommu bind %s", address);
		say(doctor, WARNING,
		    "%s: %s should be bound at boot, but %s has it; a device that is in use then is left alone",
		    address, id, *f.driver ? f.driver : "no driver");
	}
}

void check_persistent(struct doctor *doctor)
{
	struct names names;
	size_t i;

	persistent_read(&names);
	for (i = 0; i < names.n; i++)
		check_address(doctor, names.name[i]);
	names_free(&names);
}
