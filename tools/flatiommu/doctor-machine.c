// SPDX-License-Identifier: MIT
/* Checks of the machine: hardware, kernel, module, memory, privilege, DPDK and SPDK. */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor.h"
#include "flat.h"
#include "modules.h"
#include "privilege.h"
#include "record.h"
#include "sysfs.h"

#define EFI_VARIABLES "/sys/firmware/efi/efivars/"
#define DKMS_KEY "/var/lib/dkms/mok.pub"
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

/* Has any function no IOMMU, so that flatiommu is for it? */
static bool is_wanted(const struct doctor *doctor)
{
	return !doctor->behind[BEHIND_IOMMU];
}

static void check_platform(struct doctor *doctor)
{
	char type[32], guest[32];
	struct utsname uts;

	uname(&uts);
	if (strcmp(uts.machine, "x86_64"))
		say(doctor, PROBLEM, "%s: flatiommu is for x86-64 so far", uts.machine);
	file_read(type, sizeof(type), "/sys/hypervisor/type");
	file_read(guest, sizeof(guest), "/sys/hypervisor/guest_type");
	if (!strcmp(type, "xen") &&
	    (strcmp(guest, "HVM") || file_has_word("control_d", "/proc/xen/capabilities")))
		say(doctor, PROBLEM, "Xen %s: physical addresses are not bus addresses", guest);
	else
		say(doctor, OK, "%s, Linux %s", uts.machine, uts.release);
}

/* The kernel's own words on it are in the log, which not everybody may read. */
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

static void check_iommu(struct doctor *doctor)
{
	bool table = any_file("/sys/firmware/acpi/tables/DMAR*") ||
		     any_file("/sys/firmware/acpi/tables/IVRS*");

	if (doctor->behind[BEHIND_IOMMU])
		say(doctor, OK,
		    "there is one, and %u functions are behind it: vfio-pci works on them as it is",
		    doctor->behind[BEHIND_IOMMU]);
	else if (has_command_line("intel_iommu=off") || has_command_line("amd_iommu=off") ||
		 has_command_line("iommu=off"))
		say(doctor, OK, "off, by the kernel's command line: what flatiommu is for");
	else if (table)
		say(doctor, OK,
		    "the firmware has one that the kernel does not use (intel_iommu=on would): what flatiommu is for");
	else
		say(doctor, OK, "the firmware offers none: what flatiommu is for");
	if (doctor->behind[BEHIND_NOIOMMU])
		say(doctor, WARNING, "%u functions are in VFIO's no-IOMMU mode, where %s",
		    doctor->behind[BEHIND_NOIOMMU],
		    has_vfio_groups() ? "groups pin nothing" : "only programs of iommufd work");
}

static void check_vfio(struct doctor *doctor)
{
	static const char *const modules[] = { "vfio_pci", "vfio_iommu_type1" };
	char mode[8];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modules); i++) {
		if (module_is_loaded(modules[i]))
			say(doctor, OK, "%s is loaded", modules[i]);
		else if (module_is_known(modules[i]))
			say(doctor, OK, "%s is there; bind loads it", modules[i]);
		else if (!strcmp(modules[i], "vfio_iommu_type1") && has_iommufd())
			say(doctor, OK, "%s is not there; programs of iommufd do without", modules[i]);
		else
			say(doctor, PROBLEM, "%s is not there: this kernel (%s) has no such module",
			    modules[i], kernel_release());
	}
	if (module_is_loaded("iommufd"))
		say(doctor, OK, "iommufd is loaded");
	if (has_vfio_groups() && !file_read(mode, sizeof(mode), NOIOMMU_MODE) && *mode == 'Y') {
		mend(doctor, "echo N >" NOIOMMU_MODE);
		say(doctor, WARNING,
		    "VFIO's no-IOMMU mode is on: SPDK then does not pin what it registers");
	}
}

static void check_lockdown(struct doctor *doctor)
{
	char mode[64], secure[8] = "";
	const char *why;

	if (file_read(mode, sizeof(mode), "/sys/kernel/security/lockdown")) {
		if (file_exists("/sys/kernel/security/lockdown"))
			say(doctor, UNSEEN, "whether the kernel is locked down only root sees");
		else
			say(doctor, OK, "this kernel has none, or securityfs is not mounted");
		return;
	}
	if (strstr(mode, "[none]")) {
		say(doctor, OK, "off");
		return;
	}
	file_read(secure, sizeof(secure),
		  EFI_VARIABLES "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
	why = secure[4] == 1 ? ", as Secure Boot is on" : "";
	mend_here(doctor, "make module LOCKDOWN=trust-signer");
	say(doctor, PROBLEM,
	    "the kernel is locked down%s: claims are refused, by design, unless the module was built for it, and signed",
	    why);
}

static bool is_enforced(void)
{
	char enforce[8], lockdown[64];

	file_read(enforce, sizeof(enforce), "/sys/module/module/parameters/sig_enforce");
	file_read(lockdown, sizeof(lockdown), "/sys/kernel/security/lockdown");
	return *enforce == 'Y' || (*lockdown && !strstr(lockdown, "[none]"));
}

/* Of a file that is not text; returns how many bytes, 0 without it. */
static size_t bytes_of(const char *path, unsigned char *buf, size_t size)
{
	FILE *file = fopen(path, "re");
	size_t length = 0;

	if (file) {
		length = fread(buf, 1, size, file);
		fclose(file);
	}
	return length;
}

/*
 * DKMS signs what it builds with a key of the machine's own, which firmware's list of keys has once its owner has
 * enrolled it. False where there is no such list to look into.
 */
static bool is_of_unknown_key(const char *module)
{
	static unsigned char known[65536];
	unsigned char key[4096];
	size_t n_key, n_known;

	if (!strstr(module, "/updates/dkms/"))
		return false;
	n_key = bytes_of(DKMS_KEY, key, sizeof(key));
	n_known = bytes_of(EFI_VARIABLES "MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23", known,
			   sizeof(known));
	return n_key && file_exists(EFI_VARIABLES) && !memmem(known, n_known, key, n_key);
}

static void check_module(struct doctor *doctor)
{
	char command[PATH_MAX + 128];
	struct module_files files;

	if (flat_is_loaded()) {
		say(doctor, OK, "flatiommu is loaded; %u functions are claimed",
		    doctor->behind[BEHIND_FLATIOMMU]);
		return;
	}
	if (!is_wanted(doctor)) {
		say(doctor, OK, "not loaded, and not needed beside an IOMMU");
		return;
	}
	module_find(&files);
	module_load_command(command, sizeof(command), &files);
	if (*files.fit.path)
		mend(doctor, "%s", command);
	else
		mend_here(doctor, "%s", command);
	if (*files.unfit.path) {
		say(doctor, PROBLEM, "%s is built for %s, and %s runs", files.unfit.path,
		    *files.unfit.release ? files.unfit.release : "another kernel",
		    kernel_release());
	} else if (!*files.fit.path) {
		say(doctor, PROBLEM, "there is no flatiommu.ko for %s; make it from its source",
		    kernel_release());
	} else if (!files.fit.is_signed && is_enforced()) {
		mend(doctor,
		     "/lib/modules/%s/build/scripts/sign-file sha256 MOK.key MOK.crt %s && %s",
		     kernel_release(), files.fit.path, command);
		say(doctor, PROBLEM, "%s is not signed, and this kernel loads signed modules only",
		    files.fit.path);
	} else if (is_enforced() && is_of_unknown_key(files.fit.path)) {
		mend(doctor, "mokutil --import " DKMS_KEY);
		say(doctor, PROBLEM,
		    "%s is signed with DKMS' key, which this machine does not know: import it and reboot",
		    files.fit.path);
	} else if (*files.fit.release && strcmp(files.fit.release, kernel_release())) {
		say(doctor, WARNING,
		    "%s is built for %s; %s loads it only if its symbols are the same",
		    files.fit.path, files.fit.release, kernel_release());
	} else {
		say(doctor, WARNING, "flatiommu is not loaded; bind loads it");
	}
}

/* Each of VFIO's ways to memory asks for itself. */
static void check_interrupts(struct doctor *doctor)
{
	static const char *const modules[] = { "vfio_iommu_type1", "iommufd" };
	char value[8];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modules); i++) {
		if (file_read(value, sizeof(value), ALLOW_INTERRUPTS, modules[i]))
			continue;
		if (*value == 'Y') {
			say(doctor, OK, "%s allows unsafe interrupts", modules[i]);
		} else if (doctor->behind[BEHIND_FLATIOMMU]) {
			mend(doctor, "echo Y >" ALLOW_INTERRUPTS, modules[i]);
			say(doctor, PROBLEM,
			    "%s does not allow unsafe interrupts: it refuses what is claimed (EPERM)",
			    modules[i]);
		} else {
			say(doctor, OK, "%s does not allow unsafe interrupts; bind does it if needed",
			    modules[i]);
		}
	}
}

static void check_hugepages(struct doctor *doctor)
{
	unsigned long long bytes = hugepage_bytes(), entries = hugepage_entries();
	unsigned long long limit = entry_limit();
	char *zones;

	if (!bytes) {
		mend(doctor, RESERVE_HUGEPAGES, hugepages_to_reserve());
		say(doctor, WARNING, "none are reserved, and DPDK and SPDK need them");
		return;
	}
	say(doctor, OK, "%llu, of %llu MiB altogether", entries, bytes >> 20);
	if (entries > limit) {
		mend(doctor, RAISE_ENTRY_LIMIT, entries + SPARE_ENTRIES);
		say(doctor, WARNING,
		    "VFIO maps %llu at most, and there are %llu: DPDK goes on without the rest",
		    limit, entries);
	}
	zones = file_text("/proc/zoneinfo");
	for (char *zone = zones; zone && (zone = strstr(zone, "zone  Movable")); zone++) {
		char *present = strstr(zone, "present");

		if (!present || !strtoull(present + strlen("present"), NULL, 10))
			continue;
		mend(doctor, "echo online_kernel >/sys/devices/system/memory/auto_online_blocks");
		say(doctor, WARNING,
		    "there is memory in ZONE_MOVABLE; huge pages there move as they are pinned, and DPDK then does not start");
		break;
	}
	free(zones);
}

static void check_hugetlbfs(struct doctor *doctor)
{
	char *mounts = file_text("/proc/self/mounts");
	bool mounted = mounts && strstr(mounts, " hugetlbfs ");

	free(mounts);
	if (mounted) {
		say(doctor, OK, "hugetlbfs is mounted");
	} else if (hugepage_bytes()) {
		mend(doctor,
		     "mkdir -p /dev/hugepages && mount -t hugetlbfs hugetlbfs /dev/hugepages");
		say(doctor, WARNING, "hugetlbfs is not mounted: DPDK takes --in-memory only");
	}
}

void mend_memlock(struct doctor *doctor)
{
	struct rlimit hard;

	if (!getrlimit(RLIMIT_MEMLOCK, &hard) && hard.rlim_max != RLIM_INFINITY &&
	    !has_capability(CAP_SYS_RESOURCE))
		mend(doctor, "prlimit --pid $$ --memlock=unlimited");
	else
		mend_here(doctor, "ulimit -l unlimited");
}

static void check_memlock(struct doctor *doctor)
{
	unsigned long long limit = memlock_limit(), bytes = hugepage_bytes();

	if (has_capability(CAP_IPC_LOCK)) {
		say(doctor, OK, "no limit, by CAP_IPC_LOCK");
		return;
	}
	if (bytes <= limit && limit >= 64 << 20) {
		say(doctor, OK, "RLIMIT_MEMLOCK is %s",
		    limit == ~0ULL ? "unlimited" : "more than all huge pages");
		return;
	}
	mend_memlock(doctor);
	say(doctor, PROBLEM,
	    "RLIMIT_MEMLOCK is %llu KiB, huge pages are %llu KiB: DPDK goes on with memory that is not pinned",
	    limit / 1024, bytes / 1024);
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
		  "see physical addresses in /proc/self/pagemap, as DPDK and SPDK do" },
	};
	bool all = true;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (has_capability(wanted[i].capability))
			continue;
		all = false;
		if (geteuid())
			mend_here(doctor, "sudo flatiommu doctor");
		else
			mend_here(doctor, "capsh --print");
		say(doctor, wanted[i].verdict, "%s is missing, to %s", wanted[i].name,
		    wanted[i].what);
	}
	if (all)
		say(doctor, OK, "CAP_SYS_RAWIO and CAP_SYS_ADMIN");
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
		say(doctor, UNSEEN, "whether programs were refused maps only root sees");
		return;
	}
	n = json_object_array_length(refusals);
	json_object_put(refusals);
	file_read(policy, sizeof(policy), FLAT_PARAMETERS "/on_refusal");
	if (n && !strcmp(policy, "warn")) {
		mend(doctor, "echo fence >" FLAT_PARAMETERS "/on_refusal");
		say(doctor, WARNING,
		    "%zu programs were refused maps (flatiommu status has them), and may have gone on; fence would stop them",
		    n);
	} else {
		say(doctor, OK, "%zu programs were refused maps; on_refusal=%s", n, policy);
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

/* DPDK and SPDK go by groups. */
static bool is_without_groups(struct doctor *doctor)
{
	if (has_vfio_groups())
		return false;
	say(doctor, WARNING, "it takes VFIO groups, and this kernel (%s) has none", kernel_release());
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
		    "Debian's DPDK ignores --iova-mode=pa, silently, as this user does not see physical addresses");
	say(doctor, OK, "%s: flatiommu run -- PROGRAM, or --iova-mode=pa for every process of it",
	    installed ? "installed" : "not installed");
}

static void check_spdk(struct doctor *doctor)
{
	if (is_without_groups(doctor))
		return;
	if (!is_wanted(doctor))
		say(doctor, OK, "no option is needed: it uses the IOMMU");
	else if (file_has_word("AuthenticAMD", "/proc/cpuinfo"))
		say(doctor, OK, "on AMD: flatiommu run -- PROGRAM, or --iova-mode pa");
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
	{ "hugepages", check_hugepages },
	{ "hugetlbfs", check_hugetlbfs },
	{ "memlock", check_memlock },
	{ "capability", check_capabilities },
	{ "container", check_container },
	{ "refusals", check_refusals },
	{ "bind", check_records },
	{ "persist", check_persistent },
	{ "dpdk", check_dpdk },
	{ "spdk", check_spdk },
	{ NULL, NULL }
};
