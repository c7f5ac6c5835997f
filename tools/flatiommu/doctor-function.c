// SPDX-License-Identifier: MIT
/* Checks of one PCI function: doctor->subject. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "output.h"
#include "persist.h"
#include "sysfs.h"
#include "uses.h"

static void check_group(struct doctor *doctor)
{
	const struct function *f = doctor->subject;

	if (is_bridge(f)) {
		say(doctor, PROBLEM, "a bridge: VFIO is for the functions behind it");
		return;
	}
	switch (f->behind) {
	case BEHIND_IOMMU:
		say(doctor, OK, "%d, of a real IOMMU: flatiommu is not needed, and refuses a claim",
		    f->group);
		break;
	case BEHIND_FLATIOMMU:
		say(doctor, OK, "%d, of flatiommu: bus addresses, no isolation", f->group);
		break;
	case BEHIND_NOIOMMU:
		mend(doctor, "flatiommu unbind %s && flatiommu bind %s", f->address, f->address);
		if (f->group < 0)
			say(doctor, WARNING,
			    "none: VFIO's no-IOMMU mode has it, only for programs that use "
			    "iommufd, which pins their memory");
		else
			say(doctor, WARNING, "%d, of VFIO's no-IOMMU mode: it pins nothing%s", f->group,
			    is_noiommu_cdev(f) ? "; iommufd, by the function's own node, does" : "");
		break;
	case BEHIND_NOTHING:
		mend(doctor, "flatiommu %s %s", *f->driver ? "bind" : "claim", f->address);
		say(doctor, PROBLEM, "none, and VFIO needs one: it is not claimed");
		break;
	}
}

static void check_use(struct doctor *doctor)
{
	struct json_object *uses = uses_of(doctor->subject, &doctor->processes);
	size_t i;

	for (i = 0; i < json_object_array_length(uses); i++) {
		struct json_object *use = json_object_array_get_idx(uses, i);
		const char *step = get_string(use, "cure");

		if (step)
			mend(doctor, "%s", step);
		if (json_object_get_boolean(get(use, "always")))
			say(doctor, PROBLEM, "%s: bind refuses it, also with --force",
			    get_string(use, "text"));
		else if (json_object_get_boolean(get(use, "refuses")))
			say(doctor, PROBLEM, "%s: bind needs --force", get_string(use, "text"));
		else
			say(doctor, WARNING, "%s", get_string(use, "text"));
	}
	json_object_put(uses);
}

static void check_driver(struct doctor *doctor)
{
	const struct function *f = doctor->subject;

	if (is_bridge(f))
		return;
	if (f->being_unbound) {
		say(doctor, PROBLEM, "it is being unbound from vfio-pci, which waits for the "
		    "programs that have it open");
		return;
	}
	if (is_on_vfio(f)) {
		say(doctor, OK, "vfio-pci%s",
		    is_persistent(f->address) ? ", after a reboot, too" : "");
		return;
	}
	mend(doctor, "flatiommu bind %s", f->address);
	if (*f->driver)
		say(doctor, PROBLEM, "%s has it, not vfio-pci", f->driver);
	else
		say(doctor, PROBLEM, "none: it must be bound to vfio-pci");
}

static void check_open(struct doctor *doctor)
{
	struct json_object *array = processes_of(&doctor->processes, doctor->subject);
	char open[256];

	processes_text(open, sizeof(open), array);
	json_object_put(array);
	if (*open)
		say(doctor, OK, "open by %s", open);
	else if (doctor->processes.partial)
		say(doctor, UNSEEN, "only root can see whether others have it open");
	else if (is_on_vfio(doctor->subject) && processes_miss_some(&doctor->processes))
		say(doctor, WARNING,
		    "a function is open, maybe this one, but no process shows it: one outside of this container, or a file on its way through a socket");
}

static void check_one_node(struct doctor *doctor, const char *node)
{
	if (!*node) {
		say(doctor, PROBLEM, "VFIO has made none: the kernel log says why");
	} else if (access(node, F_OK)) {
		say(doctor, PROBLEM, "%s is not there; a container needs it passed in", node);
	} else if (access(node, R_OK | W_OK)) {
		mend(doctor, "chown %u %s", geteuid(), node);
		say(doctor, PROBLEM, "%s may not be opened by this user", node);
	} else {
		say(doctor, OK, "%s", node);
	}
}

static void check_node(struct doctor *doctor)
{
	const struct function *f = doctor->subject;
	char node[128];

	if (!is_on_vfio(f))
		return;
	function_node(f, node, sizeof(node));
	check_one_node(doctor, node);
	if (!strncmp(node, "/dev/vfio/devices/", strlen("/dev/vfio/devices/")))
		check_one_node(doctor, "/dev/iommu");
	/* the group's node does not pin memory, the character device does */
	if (f->behind == BEHIND_NOIOMMU && is_noiommu_cdev(f) && f->group >= 0) {
		snprintf(node, sizeof(node), "/dev/vfio/devices/%s", f->cdev);
		check_one_node(doctor, node);
	}
}

/* From ioport.h */
#define IORESOURCE_IO 0x100
#define IORESOURCE_MEM 0x200
#define IORESOURCE_PREFETCH 0x2000
#define IORESOURCE_UNSET 0x20000000
#define NR_BARS 6

static void check_bars(struct doctor *doctor)
{
	char *text = file_text(PCI_DEVICES "/%s/resource", doctor->subject->address), *line, *rest;
	char all[512] = "";
	size_t len = 0;
	int bar = 0;

	line = text ? strtok_r(text, "\n", &rest) : NULL;
	for (; line && bar < NR_BARS; line = strtok_r(NULL, "\n", &rest), bar++) {
		unsigned long long start, end, flags;

		if (sscanf(line, "%llx %llx %llx", &start, &end, &flags) != 3 || !flags)
			continue;
		if (flags & IORESOURCE_UNSET) {
			say(doctor, PROBLEM,
			    "BAR %d has no address: the kernel found no room for it", bar);
			continue;
		}
		len += snprintf(all + len, sizeof(all) - len, "%s%d: %s%s", len ? ", " : "", bar,
				SIZE_TEXT(end - start + 1), flags & IORESOURCE_IO ? " of ports" :
				flags & IORESOURCE_PREFETCH ? " prefetchable" : "");
	}
	free(text);
	say(doctor, OK, "%s", *all ? all : "none");
}

static void check_reset(struct doctor *doctor)
{
	const char *address = doctor->subject->address;
	char methods[128];

	if (is_bridge(doctor->subject))
		return;
	if (!file_read(methods, sizeof(methods), PCI_DEVICES "/%s/reset_method", address) &&
	    *methods)
		say(doctor, OK, "%s", methods);
	else
		say(doctor, WARNING,
		    "it has no reset of its own: a program finds it as the last one left it");
}

static void check_power(struct doctor *doctor)
{
	const char *address = doctor->subject->address;
	char state[32];

	if (!file_read(state, sizeof(state), PCI_DEVICES "/%s/power_state", address))
		say(doctor, strcmp(state, "error") ? OK : PROBLEM, "%s", state);
}

const struct check function_checks[] = {
	{ "use", check_use },
	{ "group", check_group },
	{ "driver", check_driver },
	{ "node", check_node },
	{ "open", check_open },
	{ "bars", check_bars },
	{ "vectors", check_vectors },
	{ "numa", check_own_node },
	{ "reset", check_reset },
	{ "power", check_power },
	{ "sriov", check_sriov },
	{ NULL, NULL }
};
