// SPDX-License-Identifier: MIT
/*
 * Check of SR-IOV: a virtual function's physical function and VF token, and whether the virtual
 * function is made again at boot.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "persist.h"
#include "sysfs.h"

/* Files that make virtual functions at boot, and a word that these files then have. */
static const struct {
	const char *files, *word;
} makers[] = {
	{ "/etc/udev/rules.d/*.rules", "sriov_numvfs" },
	{ "/etc/systemd/network/*.link", "SR-IOVVirtualFunctions" },
	{ "/etc/systemd/network/*.network", "[SR-IOV]" },
	{ "/etc/systemd/system/*.service", "sriov_numvfs" },
	{ "/etc/tmpfiles.d/*.conf", "sriov_numvfs" },
	{ "/etc/modprobe.d/*.conf", "max_vfs" },
	{ "/etc/NetworkManager/system-connections/*", "[sriov]" },
	{ "/etc/netplan/*.yaml", "virtual-function-count" },
	{ "/etc/network/interfaces", "sriov_numvfs" },
	{ "/etc/rc.local", "sriov_numvfs" },
};

static bool has_text(const char *path, const char *word)
{
	char *text = file_text("%s", path);
	bool has = text && strstr(text, word);

	free(text);
	return has;
}

/* Finds the first file that seems to make virtual functions. Returns false if there is none. */
static bool find_maker(char *path, size_t size)
{
	bool found = false;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(makers) && !found; i++) {
		glob_t files = { 0 };

		if (!glob(makers[i].files, 0, NULL, &files))
			for (j = 0; j < files.gl_pathc && !found; j++) {
				found = has_text(files.gl_pathv[j], makers[i].word);
				snprintf(path, size, "%s", files.gl_pathv[j]);
			}
		globfree(&files);
	}
	return found;
}

/* The kernel makes no virtual functions at boot by itself, so bind --persist would find none. */
static void check_boot(struct doctor *doctor)
{
	const struct function *f = doctor->subject;
	struct function pf = { 0 };
	char maker[PATH_MAX];

	if (!is_persistent(f->address))
		return;
	if (find_maker(maker, sizeof(maker))) {
		say(doctor, OK, "after a reboot it is bound once it is made again, which %s seems to do", maker);
		return;
	}
	memcpy(pf.address, f->pf, sizeof(pf.address));
	mend(doctor, "echo 'ACTION==\"add|bind\", SUBSYSTEM==\"pci\", KERNEL==\"%s\", DRIVER==\"?*\", ATTR{sriov_numvfs}=\"%u\"' >>/etc/udev/rules.d/60-flatiommu-vfs.rules",
	     f->pf, nr_vfs(&pf));
	say(doctor, WARNING,
	    "it should be bound after a reboot, but nothing makes the virtual functions again");
}

static void check_vf(struct doctor *doctor)
{
	const struct function *f = doctor->subject;
	char driver[64];

	link_name(driver, sizeof(driver), PCI_DEVICES "/%s/driver", f->pf);
	if (strcmp(driver, "vfio-pci")) {
		say(doctor, OK, "a virtual function of %s", f->pf);
	} else if (getenv("FLATIOMMU_VF_TOKEN")) {
		say(doctor, OK, "a virtual function of %s, which is bound to vfio-pci; FLATIOMMU_VF_TOKEN is set",
		    f->pf);
	} else {
		mend_here(doctor, "export FLATIOMMU_VF_TOKEN=UUID");
		say(doctor, WARNING,
		    "a virtual function of %s, which is bound to vfio-pci: it needs the VF token "
		    "with which that one was opened (DPDK: --vfio-vf-token)",
		    f->pf);
	}
	check_boot(doctor);
}

void check_sriov(struct doctor *doctor)
{
	const struct function *f = doctor->subject;
	unsigned long long total;

	if (*f->pf) {
		check_vf(doctor);
		return;
	}
	total = file_number(0, PCI_DEVICES "/%s/sriov_totalvfs", f->address);
	if (total)
		say(doctor, OK, "%u virtual functions of %llu", nr_vfs(f), total);
}
