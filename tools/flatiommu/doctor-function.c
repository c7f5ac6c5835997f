// SPDX-License-Identifier: MIT
/* Checks of one PCI function: doctor->subject. */
#include <fcntl.h>
#include <linux/pci_regs.h>
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
		say(doctor, PROBLEM, "a bridge: VFIO is for what is behind it");
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
			    "none: VFIO's no-IOMMU mode has it, for programs of iommufd only, which pins their memory");
		else
			say(doctor, WARNING, "%d, of VFIO's no-IOMMU mode: it pins nothing%s", f->group,
			    is_noiommu_cdev(f) ? "; iommufd, by the function's own node, does" : "");
		break;
	case BEHIND_NOTHING:
		mend(doctor, "flatiommu %s %s", *f->driver ? "bind" : "claim", f->address);
		say(doctor, PROBLEM, "none, and VFIO wants one: it is not claimed");
		break;
	}
}

static void check_use(struct doctor *doctor)
{
	struct json_object *uses = uses_of(doctor->subject, &doctor->processes);
	size_t i;

	for (i = 0; i < json_object_array_length(uses); i++) {
		struct json_object *use = json_object_array_get_idx(uses, i);
		const char *remedy = get_string(use, "cure");

		if (remedy)
			mend(doctor, "%s", remedy);
		say(doctor, PROBLEM, "%s: bind takes --force then", get_string(use, "text"));
	}
	json_object_put(uses);
}

static void check_driver(struct doctor *doctor)
{
	const struct function *f = doctor->subject;

	if (is_bridge(f))
		return;
	if (f->being_unbound) {
		say(doctor, PROBLEM, "vfio-pci lets it go: an unbind of it waits for who has it open");
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
		say(doctor, PROBLEM, "none: vfio-pci is to have it");
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
		say(doctor, UNSEEN, "whether others have it open only root sees");
	else if (is_on_vfio(doctor->subject) && processes_miss_some(&doctor->processes))
		say(doctor, WARNING,
		    "a function is open, maybe this one, but no process shows it: one outside of this container, or a file on its way through a socket");
}

static void check_one_node(struct doctor *doctor, const char *node)
{
	if (!*node) {
		say(doctor, PROBLEM, "VFIO has made none: the kernel log says why");
	} else if (access(node, F_OK)) {
		say(doctor, PROBLEM, "%s is not there; in a container it is to be passed in", node);
	} else if (access(node, R_OK | W_OK)) {
		mend(doctor, "chown %u %s", geteuid(), node);
		say(doctor, PROBLEM, "%s is not for this user", node);
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
	/* that of a group is not the one that pins */
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
		len += snprintf(all + len, sizeof(all) - len, "%s%d: %llu KiB%s", len ? ", " : "",
				bar, (end - start + 1) >> 10,
				flags & IORESOURCE_IO ? " ports" :
				flags & IORESOURCE_PREFETCH ? " prefetchable" : "");
	}
	free(text);
	say(doctor, OK, "%s", *all ? all : "none");
}

/* The number of vectors is behind the first 64 bytes, which are all that anybody may read. */
static void check_vectors(struct doctor *doctor)
{
	unsigned char config[256];
	unsigned int at, msi = 0, msix = 0, pin, steps;
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/config", doctor->subject->address);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : pread(fd, config, sizeof(config), 0);
	if (fd >= 0)
		close(fd);
	if (n < (ssize_t)sizeof(config)) {
		say(doctor, UNSEEN, "how many it has only root sees");
		return;
	}
	if (config[PCI_VENDOR_ID] == 0xff && config[PCI_VENDOR_ID + 1] == 0xff) {
		say(doctor, PROBLEM, "it does not answer: removed, or without power");
		return;
	}
	pin = config[PCI_INTERRUPT_PIN];
	at = config[PCI_STATUS] & PCI_STATUS_CAP_LIST ? config[PCI_CAPABILITY_LIST] & ~3U : 0;
	for (steps = 0; at >= 0x40 && at < 0xfc && steps < 48; steps++) {
		unsigned int flags = config[at + 2] | config[at + 3] << 8;

		if (config[at] == PCI_CAP_ID_MSI)
			msi = 1U << ((flags & PCI_MSI_FLAGS_QMASK) >> 1);
		else if (config[at] == PCI_CAP_ID_MSIX)
			msix = (flags & PCI_MSIX_FLAGS_QSIZE) + 1;
		at = config[at + 1] & ~3U;
	}
	say(doctor, OK, "MSI-X %u, MSI %u, INTx %s", msix, msi, pin ? "yes" : "no");
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
		    "it cannot be reset by itself: what a program leaves, the next one finds");
}

static void check_power(struct doctor *doctor)
{
	const char *address = doctor->subject->address;
	char state[32];

	if (!file_read(state, sizeof(state), PCI_DEVICES "/%s/power_state", address))
		say(doctor, strcmp(state, "error") ? OK : PROBLEM, "%s", state);
}

static void check_vf(struct doctor *doctor)
{
	const struct function *f = doctor->subject;
	unsigned long long total = file_number(0, PCI_DEVICES "/%s/sriov_totalvfs", f->address);

	if (*f->pf)
		say(doctor, OK, "a virtual function of %s", f->pf);
	else if (total)
		say(doctor, OK, "%u virtual functions of %llu", nr_vfs(f), total);
}

const struct check function_checks[] = {
	{ "use", check_use },
	{ "group", check_group },
	{ "driver", check_driver },
	{ "node", check_node },
	{ "open", check_open },
	{ "bars", check_bars },
	{ "vectors", check_vectors },
	{ "reset", check_reset },
	{ "power", check_power },
	{ "sriov", check_vf },
	{ NULL, NULL }
};
