// SPDX-License-Identifier: MIT
/* Checks of the machine: hardware, kernel, module, privilege, DPDK and SPDK. */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor.h"
#include "ko.h"
#include "modules.h"
#include "preload.h"
#include "privilege.h"
#include "record.h"
#include "sysfs.h"

#define DEVICE_TREE "/sys/firmware/devicetree/base"
#define NOIOMMU_MODE "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"

static bool has_command_line(const char *word)
{
	return file_has_word(word, "/proc/cmdline");
}

static bool any_file(const char *pattern)
{
	glob_t found;
	bool any = !glob(pattern, 0, NULL, &found);

	if (any)
		globfree(&found);
	return any;
}

static void check_platform(struct doctor *doctor)
{
	char type[32], guest[32];
	struct utsname uts;

	uname(&uts);
	if (strcmp(uts.machine, "x86_64") && strcmp(uts.machine, "aarch64"))
		say(doctor, PROBLEM, "%s: flatiommu is for x86-64 and arm64 so far", uts.machine);
	file_read(type, sizeof(type), "/sys/hypervisor/type");
	file_read(guest, sizeof(guest), "/sys/hypervisor/guest_type");
	if (!strcmp(type, "xen") &&
	    (strcmp(guest, "HVM") || file_has_word("control_d", "/proc/xen/capabilities")))
		say(doctor, PROBLEM, "Xen %s: physical addresses are not bus addresses", guest);
	else
		say(doctor, OK, "%s, Linux %s", uts.machine, uts.release);
}

/* The kernel log would say it, too, but not every user may read that. */
static void check_encryption(struct doctor *doctor)
{
	if (file_has_word("tdx_guest", "/proc/cpuinfo"))
		say(doctor, PROBLEM, "memory is encrypted (TDX): devices see the cipher text");
	else if (file_exists("/dev/sev-guest") || has_command_line("mem_encrypt=on"))
		say(doctor, PROBLEM,
		    "memory is encrypted (SEV or SME): devices see the cipher text");
	else
		say(doctor, OK, "no sign of memory encryption");
	if (has_command_line("swiotlb=force"))
		say(doctor, PROBLEM, "swiotlb=force: all DMA would have to be bounced");
}

static bool has_iommufd(void)
{
	return file_exists("/dev/iommu") || module_is_known("iommufd");
}

/*
 * Has the machine an SMMU without a driver? On arm64 firmware describes IOMMUs in the device tree
 * or in the IORT table, which has other entries, too. An IOMMU with a driver is in
 * /sys/class/iommu, where flatiommu's dummy ones are, too.
 */
static bool has_idle_smmu(void)
{
	return any_file(DEVICE_TREE "/*/iommu-map") ||
	       any_file(DEVICE_TREE "/*/*/iommu-map") ||
	       any_file(DEVICE_TREE "/*/*/*/iommu-map") ||
	       any_file("/sys/bus/platform/devices/arm-smmu*");
}

static bool is_disabled(const char *node)
{
	char status[16];

	return !file_read(status, sizeof(status), "%s/status", node) && strcmp(status, "okay") &&
	       strcmp(status, "ok");
}

/*
 * Is the host bridge there, and its DMA not coherent? The nearest node above that says so decides,
 * as in the kernel. Changes @node.
 */
static bool is_incoherent(char *node)
{
	bool coherent = false, known = false;

	for (;; *strrchr(node, '/') = 0) {
		if (is_disabled(node))
			return false;
		if (!known) {
			coherent = file_exists("%s/dma-coherent", node);
			known = coherent || file_exists("%s/dma-noncoherent", node);
		}
		if (!strcmp(node, DEVICE_TREE))
			return !coherent;
	}
}

/*
 * Coherence is a property of the host bridge, and so of all functions behind it: dma-coherent in
 * the device tree, or _CCA in ACPI. Names the first bridge that is not coherent. Behind an IOMMU
 * flatiommu has no part in it.
 */
static void check_coherence(struct doctor *doctor)
{
	glob_t nodes = { 0 };
	char name[64];
	size_t i;

	if (!is_wanted(doctor))
		return;
	glob(DEVICE_TREE "/pcie@*", 0, NULL, &nodes);
	glob(DEVICE_TREE "/*/pcie@*", GLOB_APPEND, NULL, &nodes);
	glob(DEVICE_TREE "/*/*/pcie@*", GLOB_APPEND, NULL, &nodes);
	for (i = 0; i < nodes.gl_pathc; i++) {
		char *node = nodes.gl_pathv[i];

		snprintf(name, sizeof(name), "%s", strrchr(node, '/') + 1);
		if (!is_incoherent(node))
			continue;
		say(doctor, PROBLEM,
		    "DMA behind %s is not coherent with the processor's caches, says the device tree: neither VFIO nor flatiommu works on such functions, only drivers in the kernel do",
		    name);
		break;
	}
	globfree(&nodes);
}

static void check_iommu(struct doctor *doctor)
{
	bool intel = any_file("/sys/firmware/acpi/tables/DMAR*");
	bool amd = any_file("/sys/firmware/acpi/tables/IVRS*");

	check_coherence(doctor);
	if (doctor->behind[BEHIND_IOMMU])
		say(doctor, OK,
		    "there is one, and %u functions are behind it: vfio-pci works on them as it is",
		    doctor->behind[BEHIND_IOMMU]);
	else if (has_command_line("intel_iommu=off") || has_command_line("amd_iommu=off") ||
		 has_command_line("iommu=off"))
		say(doctor, OK, "off, by the kernel's command line: flatiommu is for such machines");
	else if (intel || amd)
		say(doctor, OK,
		    "the firmware has one that the kernel does not use (%s): flatiommu is for such "
		    "machines",
		    intel ? "intel_iommu=on would" : "see AMD-Vi in its log");
	else if (has_idle_smmu())
		say(doctor, OK,
		    "the firmware has an SMMU, and no function is behind it yet: the kernel looks "
		    "for one when a driver binds");
	else
		say(doctor, OK, "the firmware offers none: flatiommu is for such machines");
	if (doctor->behind[BEHIND_NOIOMMU])
		say(doctor, WARNING, "%u functions are in VFIO's no-IOMMU mode, where %s",
		    doctor->behind[BEHIND_NOIOMMU],
		    has_vfio_groups() ? "groups pin nothing" : "only programs of iommufd work");
}

/*
 * Says why modprobe does not know a module. If the kernel's configuration has it as a module, it
 * may be in another package.
 */
static void say_unknown(struct doctor *doctor, const char *module, const char *option)
{
	char built[64];

	snprintf(built, sizeof(built), "%s=m", option);
	if (modules_are_missing())
		say(doctor, PROBLEM,
		    "%s is not there, nor any module of this kernel (%s): a newer one was installed since it was booted, or this is a container",
		    module, kernel_release());
	else if (file_has_word(built, "/boot/config-%s", kernel_release()) ||
		 file_has_word(built, "/lib/modules/%s/config", kernel_release()))
		say(doctor, PROBLEM,
		    "%s is not there, though this kernel (%s) has it: another package of its modules is missing",
		    module, kernel_release());
	else
		say(doctor, PROBLEM, "%s is not there: this kernel (%s) has no such module", module,
		    kernel_release());
}

static void check_vfio(struct doctor *doctor)
{
	static const char *const modules[] = { "vfio_pci", "vfio_iommu_type1" };
	static const char *const options[] = { "CONFIG_VFIO_PCI", "CONFIG_VFIO_IOMMU_TYPE1" };
	char mode[8];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modules); i++) {
		if (module_is_loaded(modules[i]))
			say(doctor, OK, "%s is loaded", modules[i]);
		else if (module_is_known(modules[i]))
			say(doctor, OK, "%s is there; bind loads it", modules[i]);
		else if (!strcmp(modules[i], "vfio_iommu_type1") && has_iommufd())
			say(doctor, OK, "%s is not there; programs that use iommufd do not need it",
			    modules[i]);
		else
			say_unknown(doctor, modules[i], options[i]);
	}
	if (module_is_loaded("iommufd"))
		say(doctor, OK, "iommufd is loaded");
	if (has_vfio_groups() && !file_read(mode, sizeof(mode), NOIOMMU_MODE) && *mode == 'Y') {
		mend(doctor, "echo N >" NOIOMMU_MODE);
		say(doctor, WARNING,
		    "VFIO's no-IOMMU mode is on: SPDK then does not pin the memory that it "
		    "registers");
	}
}

/*
 * Does the interrupt controller know which device sends an MSI? The names of the controllers tell,
 * if a device uses MSIs: remapped interrupts of x86, and a GICv3 ITS.
 */
static bool has_isolated_msis(void)
{
	glob_t names = { 0 };
	bool found = false;
	char name[32];
	size_t i;

	glob("/sys/kernel/irq/*/chip_name", 0, NULL, &names);
	for (i = 0; i < names.gl_pathc && !found; i++)
		found = !file_read(name, sizeof(name), "%s", names.gl_pathv[i]) &&
			(!strncmp(name, "IR-PCI-MSI", 10) || !strncmp(name, "ITS-", 4));
	globfree(&names);
	return found;
}

/* type1 and iommufd each have a parameter that allows unsafe interrupts. */
static void check_interrupts(struct doctor *doctor)
{
	static const char *const modules[] = { "vfio_iommu_type1", "iommufd" };
	struct utsname uts;
	char value[8];
	bool arm;
	size_t i;

	uname(&uts);
	arm = !strcmp(uts.machine, "aarch64");
	for (i = 0; i < ARRAY_SIZE(modules); i++) {
		if (file_read(value, sizeof(value), ALLOW_INTERRUPTS, modules[i]))
			continue;
		if (*value == 'Y') {
			say(doctor, OK, "%s allows unsafe interrupts", modules[i]);
		} else if (!doctor->behind[BEHIND_FLATIOMMU]) {
			say(doctor, OK, "%s does not allow unsafe interrupts; bind does it if needed",
			    modules[i]);
		} else if (has_isolated_msis()) {
			say(doctor, OK,
			    "%s does not allow unsafe interrupts, and need not: this machine knows "
			    "which device sends an interrupt",
			    modules[i]);
		} else {
			mend(doctor, "echo Y >" ALLOW_INTERRUPTS, modules[i]);
			say(doctor, arm ? WARNING : PROBLEM,
			    "%s does not allow unsafe interrupts: it refuses functions that are "
			    "claimed (EPERM)%s",
			    modules[i],
			    arm ? ", unless the machine's MSIs are isolated, as by a GICv3 ITS" : "");
		}
	}
}

static void check_capabilities(struct doctor *doctor)
{
	static const struct {
		int capability;
		enum verdict verdict;
		const char *name, *what;
	} wanted[] = {
		{ CAP_SYS_RAWIO, PROBLEM, "CAP_SYS_RAWIO", "use a function that has no IOMMU" },
		{ CAP_SYS_ADMIN, WARNING, "CAP_SYS_ADMIN",
		  "see physical addresses in /proc/self/pagemap, as DPDK and SPDK do; libflatiommu and flatiommu run ask /dev/flatiommu instead" },
	};
	char lack[400];
	bool all = true;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (has_capability(wanted[i].capability))
			continue;
		all = false;
		lack_text(lack, sizeof(lack), wanted[i].capability, wanted[i].name);
		if (geteuid() && !in_user_namespace())
			mend_here(doctor, "sudo flatiommu doctor");
		say(doctor, wanted[i].verdict, "%s; it is needed to %s", lack, wanted[i].what);
	}
	if (all)
		say(doctor, OK, "CAP_SYS_RAWIO and CAP_SYS_ADMIN");
}

/* Says how flatiommu run would give programs addresses. */
static void check_pagemap(struct doctor *doctor)
{
	char library[512];

	if (!is_wanted(doctor)) {
		say(doctor, OK, "programs need none: they use the IOMMU");
		return;
	}
	preload_find(library, sizeof(library));
	if (!*library)
		say(doctor, WARNING,
		    "libflatiommu-pagemap.so is not there: programs read the kernel's pagemap, "
		    "with CAP_SYS_ADMIN, and the pages in it are not pinned");
	else if (has_capability(CAP_SYS_ADMIN))
		say(doctor, OK, "flatiommu run answers it from pins");
	else
		say(doctor, OK,
		    "flatiommu run answers it from pins, and hides groups by the same library, as there is no CAP_SYS_ADMIN for a mount namespace");
}

/* Whatever its mode is, the node opens only with CAP_SYS_RAWIO. */
static void check_flat_node(struct doctor *doctor)
{
	if (!flat_is_loaded() || !doctor->behind[BEHIND_FLATIOMMU])
		return;
	if (!file_exists(FLAT_NODE)) {
		say(doctor, WARNING,
		    FLAT_NODE " is not there, as in a container; programs on libflatiommu need it passed in");
	} else if (access(FLAT_NODE, R_OK | W_OK)) {
		mend(doctor, "chmod 666 " FLAT_NODE);
		say(doctor, PROBLEM,
		    FLAT_NODE " may not be opened by this user, and programs on libflatiommu need "
			      "it: bind --user opens it");
	} else {
		say(doctor, OK, FLAT_NODE);
	}
}

static void check_container(struct doctor *doctor)
{
	char *environment = file_text("/proc/1/environ");
	bool is = file_exists("/.dockerenv") || file_exists("/run/.containerenv") ||
		  file_exists("/run/systemd/container") ||
		  (environment && !strncmp(environment, "container=", 10));

	free(environment);
	if (!is) {
		say(doctor, OK, "none that can be seen");
		return;
	}
	if (access("/sys/bus/pci/drivers_probe", W_OK))
		say(doctor, WARNING,
		    "this is a container, and /sys is read-only: bind on the host, and pass /dev/vfio in");
	else
		say(doctor, WARNING,
		    "this is a container: programs need /dev/vfio, huge pages and the capabilities in it");
	if (!file_exists(has_vfio_groups() ? "/dev/vfio/vfio" : "/dev/iommu"))
		say(doctor, WARNING, "%s is not in this container",
		    has_vfio_groups() ? "/dev/vfio/vfio" : "/dev/iommu");
}

static void check_refusals(struct doctor *doctor)
{
	struct json_object *refusals;
	char policy[16];
	size_t n;

	if (!flat_is_loaded())
		return;
	refusals = flat_refusals();
	if (!refusals) {
		say(doctor, UNSEEN, "only root can see whether programs were refused maps");
		return;
	}
	n = json_object_array_length(refusals);
	json_object_put(refusals);
	file_read(policy, sizeof(policy), FLAT_PARAMETERS "/on_refusal");
	if (n && !strcmp(policy, "warn")) {
		mend(doctor, "echo fence >" FLAT_PARAMETERS "/on_refusal");
		say(doctor, WARNING,
		    "%zu programs were refused maps (flatiommu status lists them), and may have "
		    "gone on; on_refusal=fence would stop them",
		    n);
	} else {
		say(doctor, OK, "%zu programs were refused maps; on_refusal=%s", n, policy);
	}
}

/* Returns the number of claims that are not known to have the option hold. */
static unsigned int count_without_hold(const struct doctor *doctor)
{
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < doctor->functions.n; i++) {
		const struct function *f = &doctor->functions.function[i];

		n += f->behind == BEHIND_FLATIOMMU && !(f->wc_bars >= 0 && f->hold);
	}
	return n;
}

/* A module that is older has no such parameter. */
static void check_hold(struct doctor *doctor)
{
	unsigned int without = count_without_hold(doctor);
	char policy[16];

	if (!is_wanted(doctor) || !doctor->behind[BEHIND_FLATIOMMU] ||
	    file_read(policy, sizeof(policy), FLAT_PARAMETERS "/on_unmap"))
		return;
	if (!strcmp(policy, "hold")) {
		say(doctor, OK,
		    "on_unmap=hold: memory that is unmapped too early is given to nobody else");
	} else if (!without) {
		say(doctor, OK,
		    "claims have hold: memory that is unmapped too early is given to nobody else");
	} else {
		mend(doctor, "echo hold >" FLAT_PARAMETERS "/on_unmap");
		say(doctor, NOTE,
		    "on_unmap=%s: another program may get memory that is unmapped while a device still writes to it; "
		    "hold prevents that, and is for production%s",
		    policy, geteuid() ? " (only root sees which claims have it)" : "");
	}
}

static void check_records(struct doctor *doctor)
{
	char *machine = machine_load();
	struct names records;
	struct function f;
	size_t i;

	records_read(&records);
	for (i = 0; i < records.n; i++) {
		if (!function_read(&f, records.name[i]) && is_on_vfio(&f))
			continue;
		mend(doctor, "flatiommu unbind --all");
		say(doctor, WARNING, "%s: bind or unbind was interrupted, or the function removed",
		    records.name[i]);
	}
	if (machine && !records.n) {
		mend(doctor, "flatiommu unbind --all");
		say(doctor, WARNING, "bind or unbind was interrupted");
	}
	names_free(&records);
	free(machine);
}

/* Checks a program that flatiommu run has started. */
static void check_run(struct doctor *doctor)
{
	const struct started *started = &doctor->started;
	char text[400];

	if (!started->by_run)
		return;
	started_text(text, sizeof(text), started);
	if (started->groups)
		say(doctor, WARNING, "%s", text);
	else if (started->why_not)
		say(doctor, OK,
		    "flatiommu run has started it: it sees no IOMMU group; pagemap is the kernel's (%s)",
		    started->why_not);
	else
		say(doctor, OK,
		    "flatiommu run has started it: it sees no IOMMU group, and pagemap is answered from pins");
}

/* DPDK and SPDK need VFIO groups. */
static bool is_without_groups(struct doctor *doctor)
{
	if (has_vfio_groups())
		return false;
	say(doctor, WARNING, "it needs VFIO groups, and this kernel (%s) has none", kernel_release());
	return true;
}

static void check_dpdk(struct doctor *doctor)
{
	bool installed = any_file("/usr/lib/*/librte_eal.so*") ||
			 any_file("/usr/local/lib/*/librte_eal.so*");

	if (is_without_groups(doctor))
		return;
	if (!is_wanted(doctor)) {
		say(doctor, OK, "no option is needed: it uses the IOMMU");
		return;
	}
	if (!has_capability(CAP_SYS_ADMIN))
		say(doctor, WARNING,
		    "Debian's DPDK silently ignores --iova-mode=pa, because this user cannot see "
		    "physical addresses");
	say(doctor, OK, "%s: %s--iova-mode=pa for every process of it",
	    installed ? "installed" : "not installed",
	    doctor->started.by_run ? "" : "flatiommu run -- PROGRAM, or ");
}

static void check_spdk(struct doctor *doctor)
{
	if (is_without_groups(doctor))
		return;
	if (!is_wanted(doctor))
		say(doctor, OK, "no option is needed: it uses the IOMMU");
	else if (!file_has_word("GenuineIntel", "/proc/cpuinfo"))
		/* SPDK 25.09 and later look for DMAR only on Intel's processors */
		say(doctor, OK,
		    "not on Intel, 25.09 and later: %s--iova-mode pa",
		    doctor->started.by_run ? "" : "flatiommu run -- PROGRAM, or ");
	else
		say(doctor, OK, "finds physical addresses by itself; if not, --iova-mode pa");
}

const struct check machine_checks[] = {
	{ "platform", check_platform },
	{ "encryption", check_encryption },
	{ "iommu", check_iommu },
	{ "vfio", check_vfio },
	{ "lockdown", check_lockdown },
	{ "module", check_module },
	{ "interrupts", check_interrupts },
	{ "memory", check_memory },
	{ "capability", check_capabilities },
	{ "pagemap", check_pagemap },
	{ "flatiommu", check_flat_node },
	{ "container", check_container },
	{ "refusals", check_refusals },
	{ "hold", check_hold },
	{ "bind", check_records },
	{ "persist", check_persistent },
	{ "run", check_run },
	{ "dpdk", check_dpdk },
	{ "spdk", check_spdk },
	{ NULL, NULL }
};
